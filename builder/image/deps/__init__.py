"""Dependencies of an image: from a lock file without Docker, or from a Dockerfile with BuildKit."""

from builder.image.deps.artifacts import Artifact, Artifacts
from builder.image.deps.engines import BuildPlace
from builder.image.deps.inputs import CommitFiles, Deps
from builder.image.deps.resolve import Recipe, build_deps, lookup, plan_deps, resolve_deps

__all__ = ["Artifact", "Artifacts", "BuildPlace", "CommitFiles", "Deps", "Recipe", "build_deps", "lookup", "plan_deps", "resolve_deps"]
