"""When files last changed on a branch."""

from __future__ import annotations

import os
import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from repo_slim.git import Git

_HEADER = re.compile(r"\n?\x01([0-9a-f]{40}) (\d+) ([^\n]*)\n*\Z")


@dataclass(frozen=True, slots=True)
class Touch:
    """A commit, when it was made (seconds since 1970) and its author's address."""

    commit: str
    time: int
    author: str


def last_touched(git: Git, commit: str, paths: AbstractSet[str]) -> dict[str, Touch]:
    """The last commit on the branch's own line that changed each path; what came with a merge changed when it was merged."""
    found: dict[str, Touch] = {}
    now: Touch | None = None
    for word in _words(git, commit) if paths else ():
        header = _HEADER.match(word)
        if header:
            now = Touch(header[1], int(header[2]), header[3])
            continue
        path = word.removeprefix("\n")
        if now and path in paths:
            found.setdefault(path, now)
    return found


def time_of(git: Git, commit: str) -> int:
    return int(git.text("log", "-1", "--no-show-signature", "--format=%ct", commit))


def _words(git: Git, commit: str) -> list[str]:
    shown = ["log", "-z", "--first-parent", "-m", "--root", "--no-renames", "--no-show-signature", "--name-only", "--format=%x01%H %ct %ae"]
    return os.fsdecode(git.run(*shown, commit, "--", "*.py")).split("\0")
