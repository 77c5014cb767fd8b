"""What continuous integration does for a repository, and the files in which CircleCI and GitHub Actions read it."""

from builder.ci.pipeline import Pipeline, pipeline_of
from builder.ci.render import PROVIDERS, render

__all__ = ["PROVIDERS", "Pipeline", "pipeline_of", "render"]
