"""Which commits of a branch have no image yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice

from builder.errors import BuilderError
from builder.model.tree import Commit
from builder.source.repository import Git
from builder.stores.interface import Store

LIMIT = 200
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Missing:
    """`commits`: those without an image, oldest first. `stopped`: why the search went no further back, in words."""

    commits: tuple[Commit, ...]
    stopped: str


def find_missing(git: Git, store: Store, commit: Commit, since: Commit | None = None) -> Missing:
    """First parents of `commit` and itself, back to `since` (which is not looked at), else to the newest that has an image; at most 200.

    With `since` commits in between that have an image are left out. A shallow clone is deepened once.
    """
    first_parents = _line(git, commit)
    found: list[Commit] = []
    for batch in _batches(islice(first_parents, LIMIT)):
        for candidate, has_image in zip(batch, _have_image(store, batch), strict=True):
            if since and candidate.sha == since.sha:
                return Missing(tuple(reversed(found)), f"since {since.sha[:12]}")
            if has_image and not since:
                return Missing(tuple(reversed(found)), f"{candidate.sha[:12]} has its image")
            if not has_image:
                found.append(candidate)
    return Missing(tuple(reversed(found)), _end(git, next(first_parents, None), commit))


def _line(git: Git, commit: Commit) -> Iterator[Commit]:
    """First parents from `commit` on; where a shallow clone ends, the remote is asked for more, once."""
    last = commit
    for last in chain([commit], git.ancestors(commit)):
        yield last
    if git.shallow and last.parents and _deepen(git):
        yield from git.ancestors(last)


def _deepen(git: Git) -> bool:
    try:
        git.run("fetch", "--quiet", "--no-tags", f"--deepen={LIMIT}")
    except BuilderError:
        return False
    return True


def _batches(commits: Iterator[Commit]) -> Iterator[list[Commit]]:
    """One alone first: mostly it is the only one, or the one before it has its image."""
    size = 1
    while batch := list(islice(commits, size)):
        yield batch
        size = _AT_ONCE


def _have_image(store: Store, commits: Sequence[Commit]) -> list[bool]:
    with ThreadPoolExecutor(_AT_ONCE, "look") as pool:
        return list(pool.map(lambda commit: store.get_manifest(commit.sha) is not None, commits))


def _end(git: Git, further: Commit | None, commit: Commit) -> str:
    if further:
        return f"the limit of {LIMIT} commits"
    if git.shallow and not _reaches_root(git, commit):
        return "the end of this shallow clone, which could not be deepened"
    return "the first commit"


def _reaches_root(git: Git, commit: Commit) -> bool:
    return not list(chain([commit], git.ancestors(commit)))[-1].parents
