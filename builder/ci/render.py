"""From the jobs to a provider's files."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from builder.ci import circleci, github
from builder.ci.pipeline import Pipeline

PROVIDERS: Mapping[str, Callable[[Pipeline], dict[str, str]]] = {"circleci": circleci.files, "github": github.files}


def render(pipeline: Pipeline, provider: str) -> dict[str, str]:
    """Path, relative to the repository's root, to text."""
    return PROVIDERS[provider](pipeline)
