"""What changed from one commit to another, as far as it can make a run come out differently: commits, configuration, base, dependencies."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from builder.errors import BuilderError, RevisionError, SourceError
from builder.model.annotations import BASE_DIGEST, BASE_NAME, KIND
from builder.model.oci import Manifest
from builder.model.tree import Commit
from builder.settings import ImageSettings, Settings, at_commit
from builder.source.repository import Git
from builder.steps.config import flat

MOST = 30
"""How many commits are listed; the others are counted."""

_REQUIREMENT = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
_ABSENT = "-"
Difference = Mapping[str, tuple[str, str]]
"""Name to how it was before, and after; `-` where there was none."""


@dataclass(frozen=True, slots=True)
class Changes:
    """`commits` are those that only the later one has, newest first, at most MOST of `ahead`; `behind` counts those that only the
    earlier one has. `unknown` says what could not be compared, and why.
    """

    before: str
    after: str
    commits: tuple[Commit, ...] = ()
    ahead: int = 0
    behind: int = 0
    config: Difference = field(default_factory=dict)
    base: Difference = field(default_factory=dict)
    deps: Difference = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.commits or self.behind or self.config or self.base or self.deps)


@dataclass(frozen=True, slots=True)
class Side:
    """A commit with what a run of it says of itself: its resolved configuration, and its image's manifest, where they are known."""

    sha: str
    config: Mapping[str, Any] | None = None
    manifest: Manifest | None = None


def changes(before: Side, after: Side, git: Git | None, settings: Settings) -> Changes:
    """What git does not have, or what no run resolved, is not compared, and said so. `settings` are those in force."""
    unknown: list[str] = []
    before, after = _renamed(before, git), _renamed(after, git)
    commits, ahead, behind = _guarded(lambda: _commits(before.sha, after.sha, git), ((), 0, 0), "commits", unknown)
    images = _guarded(lambda: (_image(git, settings, before.sha), _image(git, settings, after.sha)), None, "settings", unknown)
    deps = _guarded(lambda: _deps(git, (before, after), images), {}, "dependencies", unknown) if images else {}
    if before.config is None or after.config is None:
        unknown.append("configuration: a run that resolved it is missing")
    config = differences(before.config, after.config) if before.config is not None and after.config is not None else {}
    return Changes(before.sha, after.sha, commits, ahead, behind, config, _base(before, after, images), deps, tuple(unknown))


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The innermost keys whose values differ, by name."""
    old, new = flat(before), flat(after)
    names = [name for name in sorted({**old, **new}) if old.get(name, _ABSENT) != new.get(name, _ABSENT) or (name in old) != (name in new)]
    return {name: (str(old.get(name, _ABSENT)), str(new.get(name, _ABSENT))) for name in names}


def requirements(text: bytes) -> dict[str, str]:
    """Package to version, of a lock file in the form of pip's requirements."""
    return {match[1].lower().replace("_", "-"): match[2] for match in _REQUIREMENT.finditer(text.decode("utf-8", "replace"))}


def _renamed(side: Side, git: Git | None) -> Side:
    """By the commit's name of now: a run from before the history was slimmed knows the old one."""
    try:
        return replace(side, sha=git.resolve(side.sha).sha) if git else side
    except SourceError:
        return side


def _guarded(work: Callable[[], Any], otherwise: Any, what: str, unknown: list[str]) -> Any:
    try:
        return work()
    except BuilderError as error:
        unknown.append(f"{what}: {error.message}")
        return otherwise


def _commits(before: str, after: str, git: Git | None) -> tuple[tuple[Commit, ...], int, int]:
    if git is None:
        raise SourceError("there is no git repository here")
    git.commit(before), git.commit(after)  # raises what names the commit
    counts = git.run("rev-list", "--left-right", "--count", f"{before}...{after}").text.split()
    listed = git.run("rev-list", f"--max-count={MOST}", f"{before}..{after}").text.split()
    return tuple(git.commit(sha) for sha in listed), int(counts[1]), int(counts[0])


def _image(git: Git | None, settings: Settings, sha: str) -> ImageSettings:
    if git is None:
        raise RevisionError("there is no git repository here")
    commit = git.commit(sha)
    return at_commit(settings, lambda path: git.read_path(commit, path), sha)[0].image


def _base(before: Side, after: Side, images: tuple[ImageSettings, ImageSettings] | None) -> dict[str, tuple[str, str]]:
    """What the images say, where both are at hand; else what the commits' settings ask for."""
    if before.manifest and after.manifest:
        old, new = (_base_of(manifest) for manifest in (before.manifest, after.manifest))
    elif images:
        old, new = images[0].base, images[1].base
    else:
        return {}
    return {"base": (old or "scratch", new or "scratch")} if old != new else {}


def _base_of(manifest: Manifest) -> str:
    name, digest = (manifest.annotations.get(key, "") for key in (BASE_NAME, BASE_DIGEST))
    return f"{name}@{digest}" if digest else ""


def _deps(git: Git | None, sides: tuple[Side, Side], images: tuple[ImageSettings, ImageSettings]) -> dict[str, tuple[str, str]]:
    """Packages of the lock by name; of a Dockerfile the files that it is made of; else whether the layers are others."""
    assert git is not None  # the settings were read from it
    old, new = (_named_inputs(git, side.sha, image) for side, image in zip(sides, images, strict=True))
    found = {name: (old.get(name, _ABSENT), new.get(name, _ABSENT)) for name in sorted({*old, *new}) if old.get(name) != new.get(name)}
    layers = [_deps_layers(side.manifest) for side in sides if side.manifest]
    if not found and len(layers) == 2 and layers[0] != layers[1]:
        found = {"layers": (layers[0], layers[1])}
    return found


def _deps_layers(manifest: Manifest) -> str:
    """The first digits of their digests."""
    return " ".join(layer.digest[7:19] for layer in manifest.layers if layer.annotations.get(KIND) == "deps") or _ABSENT


def _named_inputs(git: Git, sha: str, image: ImageSettings) -> dict[str, str]:
    deps, commit = image.deps, git.commit(sha)
    if deps is None:
        return {}
    if deps.lock:
        return requirements(git.read_path(commit, deps.lock) or b"")
    listed = git.run("ls-tree", "-r", sha, "--", deps.dockerfile, *deps.context).text.splitlines()
    files = {line.partition("\t")[2]: line.split()[2][:12] for line in listed}
    return {**files, **{f"ARG {name}": value for name, value in deps.args.items()}}
