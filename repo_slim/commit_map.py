"""The map from old commits to new ones, as any clone has it: `refs/builder/commit-map`, fetched where it is missing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from repo_slim import process
from repo_slim.git import Git
from repo_slim.rewrite import MAP_REF

_AGAIN_AFTER = 24 * 3600
"""Seconds until a remote that had no map is asked again: a hook runs often, and must not ask a server each time."""


@dataclass(frozen=True)
class CommitMap:
    """`names`: every commit of before -> its new name, which is the same one where nothing below it changed."""

    names: Mapping[str, str]

    @cached_property
    def new(self) -> frozenset[str]:
        return frozenset(self.names.values())

    def is_old(self, commit: str) -> bool:
        """Whether it is a commit of before that has another name now."""
        return self.names.get(commit, commit) != commit


def read(git: Git) -> CommitMap | None:
    """What the clone has; None where it has none."""
    done = process.run(["git", "-C", str(git.directory), "cat-file", "blob", f"{MAP_REF}:commit-map"], check=False)
    if done.returncode:
        return None
    return CommitMap(dict(line.split(" ", 1) for line in done.stdout.decode("ascii").splitlines()))


def fetch(git: Git, remote: str) -> bool:
    """Brings the map from a remote, by name or URL. False when that has none, or does not answer."""
    words = ["fetch", "--quiet", "--no-tags", "--no-filter", "--no-write-fetch-head", "--", remote, f"+{MAP_REF}:{MAP_REF}"]
    return process.run(["git", "-C", str(git.directory), *words], check=False).returncode == 0


def of(git: Git, remote: str = "origin") -> CommitMap | None:
    """The clone's map, else the remote's."""
    found = read(git)
    if found is None and git.ask("config", f"remote.{remote}.url") and not _asked_lately(git):
        if fetch(git, remote):
            return read(git)
        _mark(git).parent.mkdir(exist_ok=True)
        _mark(git).touch()
    return found


def _asked_lately(git: Git) -> bool:
    mark = _mark(git)
    return mark.exists() and time.time() - mark.stat().st_mtime < _AGAIN_AFTER


def _mark(git: Git) -> Path:
    return common(git) / "builder" / "no-commit-map"


def common(git: Git) -> Path:
    """The directory that all working trees of a clone share."""
    return (git.directory / git.text("rev-parse", "--git-common-dir")).resolve()
