"""What a commit's image is made of besides its own files: the base, the dependencies and the tool layers that its settings name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from builder.cache import Cache
from builder.errors import SettingsError
from builder.image import deps as dependencies
from builder.image import tool
from builder.image.base import SCRATCH, Base, load_base, pinned
from builder.image.compose import Inputs
from builder.image.deps import Artifacts, BuildPlace, CommitFiles, Deps
from builder.model.progress import SILENT, Progress
from builder.model.tree import Commit
from builder.settings import ImageSettings
from builder.source.repository import Git
from builder.stores.interface import Store


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where images are made: the store they go to, where deps and tool layers are kept, what this machine remembers.

    `open_store` opens the store that a base's name says; `place` is where a Dockerfile is built. `until` is the `time.monotonic()` up to
    which what another job brings is waited for; 0 waits for nobody.
    """

    store: Store
    artifacts: Artifacts
    cache: Cache
    open_store: Callable[[str], Store]
    place: BuildPlace = field(default_factory=BuildPlace)
    progress: Progress = SILENT
    until: float = 0.0


def prepare(workshop: Workshop, git: Git, commit: Commit, settings: ImageSettings) -> Inputs:
    """Finds base, dependencies and tool layers; makes what is nowhere yet.

    Raises SettingsError without a base, StoreError when it cannot be found, DepsError for dependencies that cannot be made here.
    """
    base = find_base(workshop, settings)
    if workshop.until:
        _wait(workshop, settings, commit_files(git, commit), base)
    deps = dependencies.resolve_deps(
        settings, commit_files(git, commit), base, workshop.artifacts, place=workshop.place, progress=workshop.progress
    )
    return _inputs(settings, base, deps, tool.resolve_tool(settings, base, workshop.artifacts, progress=workshop.progress))


def _wait(workshop: Workshop, settings: ImageSettings, files: CommitFiles, base: Base) -> None:
    from builder.image.elsewhere import wait_for_base, wait_for_deps

    wait_for_base(workshop.store, base, workshop.until, workshop.progress)
    recipe = dependencies.plan_deps(settings, files, base)
    wait_for_deps(recipe, workshop.artifacts, workshop.until, workshop.progress)


def foresee(workshop: Workshop, git: Git, commit: Commit, settings: ImageSettings) -> tuple[Inputs, list[str]]:
    """As `prepare`, but makes nothing: what is nowhere yet is left out, and named."""
    base = find_base(workshop, settings)
    recipe = dependencies.plan_deps(settings, commit_files(git, commit), base)
    deps = dependencies.lookup(recipe, workshop.artifacts) if recipe else None
    tools = tool.find_tool(settings, base, workshop.artifacts)
    missing = [f"the dependencies {recipe.tag}"] if recipe and not deps else []
    missing += ["this tool's layers"] if not tools and tool.without_tool(settings, base) is None else []
    return _inputs(settings, base, deps, tools), missing


def find_base(workshop: Workshop, settings: ImageSettings) -> Base:
    """The base by its settings: from the store itself when it is mirrored there, else from where its name says."""
    if not settings.base:
        raise SettingsError("no base image is set: [image] base", "`builder init` proposes one; `--base scratch` starts from nothing")
    stores = [] if settings.base == SCRATCH else [workshop.store, workshop.open_store(pinned(settings.base)[0])]
    return load_base(settings.base, stores, workshop.cache, settings.platform, settings.python)


def commit_files(git: Git, commit: Commit) -> CommitFiles:
    """The files of a commit as dependencies read them."""
    return CommitFiles(partial(git.read_path, commit), lambda: git.entries(commit), git.stream)


def _inputs(settings: ImageSettings, base: Base, deps: Deps | None, tools: tool.ToolLayers | None) -> Inputs:
    inner: Mapping[str, Any] = base.config.get("config") or {}
    below = (deps.layers if deps else ()) + (tools.layers if tools else ())
    return Inputs(settings, base, below, deps.configure(inner) if deps else inner)
