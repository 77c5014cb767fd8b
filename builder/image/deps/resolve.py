"""The dependencies of a commit's image: found by the hash of their inputs, else made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from builder.errors import DepsError
from builder.image.base import Base
from builder.image.deps import context, dockerfile, key, lock
from builder.image.deps.artifacts import Artifact, Artifacts
from builder.image.deps.dockerfile import DockerfileRecipe
from builder.image.deps.engines import BuildPlace
from builder.image.deps.inputs import CommitFiles, Deps
from builder.image.deps.lock import Requirement
from builder.model.progress import SILENT, Progress
from builder.settings import DepsSettings, ImageSettings

KIND = "deps"
HERE = BuildPlace()


@dataclass(frozen=True, slots=True)
class LockRecipe:
    """Packages to install, for one Python and platform."""

    key: str
    requirements: tuple[Requirement, ...]
    python: str
    platform: str

    @property
    def tag(self) -> str:
        return f"deps-{self.key}"

    def describe(self) -> str:
        return f"{len(self.requirements)} locked packages for Python {self.python}"


Recipe: TypeAlias = LockRecipe | DockerfileRecipe
"""Everything that dependencies are made of, and the hash of it."""


def plan_deps(settings: ImageSettings, files: CommitFiles, base: Base) -> Recipe | None:
    """What would be built, with its key; None when the image has no dependencies of its own. Reads the commit's files, runs nothing.

    Raises DepsError on a missing or unusable lock, Dockerfile or context.
    """
    if settings.deps is None:
        return None
    if settings.deps.lock:
        return _lock_recipe(settings, settings.deps, files, base)
    return _dockerfile_recipe(settings, settings.deps, files, base)


def resolve_deps(
    settings: ImageSettings,
    files: CommitFiles,
    base: Base,
    artifacts: Artifacts,
    *,
    place: BuildPlace = HERE,
    progress: Progress = SILENT,
) -> Deps | None:
    """The dependencies, built and stored if they are nowhere yet. Unchanged inputs: one request, or none.

    `place` says where a Dockerfile is built.
    Raises DepsError when they can neither be found nor built here; it says where they can be.
    """
    recipe = plan_deps(settings, files, base)
    if recipe is None:
        return None
    return lookup(recipe, artifacts) or build_deps(recipe, files, base, artifacts, place=place, progress=progress)


def lookup(recipe: Recipe, artifacts: Artifacts) -> Deps | None:
    """The dependencies if they were made before, by anyone who uses this store."""
    if isinstance(recipe, LockRecipe) and not recipe.requirements:
        return Deps(recipe.key, "", (), ())
    found = artifacts.find(recipe.tag, KIND)
    return _deps(recipe, found) if found else None


def build_deps(
    recipe: Recipe,
    files: CommitFiles,
    base: Base,
    artifacts: Artifacts,
    *,
    place: BuildPlace = HERE,
    progress: Progress = SILENT,
) -> Deps:
    """Makes them and stores them under their tag. Whoever was first wins: then it is theirs that counts."""
    if isinstance(recipe, DockerfileRecipe):
        with progress.task(f"building {recipe.describe()}"):
            return _deps(recipe, dockerfile.build(recipe, files, base, artifacts, place))
    from builder.image.deps.from_lock import build_layers

    with progress.task(f"installing {recipe.describe()}"):
        layers = build_layers(recipe.requirements, recipe.python, recipe.platform)
        return _deps(recipe, artifacts.publish(recipe.tag, KIND, layers, recipe.platform))


def _deps(recipe: Recipe, found: Artifact) -> Deps:
    from builder.image.deps.from_lock import SEARCH_PATH

    search_path = SEARCH_PATH if isinstance(recipe, LockRecipe) else {}
    return Deps(recipe.key, found.digest, found.layers, found.diff_ids, found.changes, search_path)


def _lock_recipe(settings: ImageSettings, deps: DepsSettings, files: CommitFiles, base: Base) -> LockRecipe:
    if not base.python:
        hint = 'say it: [image] python = "3.12", or run `builder base pin`, which looks into the base'
        raise DepsError("a lock is installed for the base's Python, and nobody knows which that is", hint)
    data = _read(files, deps.lock, "[image.deps] lock")
    requirements = lock.without(lock.parse(data, deps.lock), deps.provided, deps.lock)
    provided = [lock.normalise(name) for name in deps.provided]
    return LockRecipe(key.lock_key(data, provided, base.python, settings.platform), requirements, base.python, settings.platform)


def _dockerfile_recipe(settings: ImageSettings, deps: DepsSettings, files: CommitFiles, base: Base) -> DockerfileRecipe:
    if not base.digest:
        raise DepsError(
            "a Dockerfile for dependencies needs a base, and this image starts from scratch", "[image] base, or [image.deps] lock"
        )
    if base.reference.startswith("oci:"):
        raise DepsError(
            f"a Dockerfile is built on a base in a registry, not on {base.reference}", "`builder base mirror`, then `builder base pin`"
        )
    text = _read(files, deps.dockerfile, "[image.deps] dockerfile")
    dockerfile.check(text, deps.dockerfile)
    entries = context.select(files.entries(), deps.context) if deps.context else ()
    inputs = key.dockerfile_key(text, entries, deps.args, deps.target, base.digest, settings.platform)
    return DockerfileRecipe(inputs, deps.dockerfile, text, entries, deps.args, deps.target, settings.platform)


def _read(files: CommitFiles, path: str, setting: str) -> bytes:
    data = files.read(path)
    if data is None:
        raise DepsError(f"{setting} names {path}, which the commit does not have", "commit it, or correct the path in builder.toml")
    return data
