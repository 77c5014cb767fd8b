"""Which commits of a branch have no image yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice

from builder.errors import BuilderError, UsageError
from builder.image.report import own_manifest
from builder.model.oci import StoredManifest
from builder.model.tree import Commit
from builder.source.repository import Git
from builder.stores.interface import Store

LIMIT = 200
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Missing:
    """`commits`: those without an image, oldest first. `stopped`: where the search ended, in words."""

    commits: tuple[Commit, ...]
    stopped: str


def find_missing(git: Git, store: Store, commit: Commit, since: Commit | None = None) -> Missing:
    """First parents of `commit` and itself, back to `since` (which is not looked at), else to the newest that has an image; at most 200.

    With `since` commits in between that have an image are left out. A shallow clone is deepened once.
    Raises UsageError when the line of first parents ends and `since` was not on it.
    """
    found: list[Commit] = []
    last, looked = commit, 0
    for batch in _first_parents(git, commit):
        candidates = batch[: LIMIT - looked]
        for candidate, has_image in zip(candidates, _have_image(store, candidates), strict=True):
            if since and candidate.sha == since.sha:
                return Missing(tuple(reversed(found)), f"{since.sha[:12]}, as asked")
            if has_image and not since:
                return Missing(tuple(reversed(found)), f"{candidate.sha[:12]}, which has its image")
            if not has_image:
                found.append(candidate)
        last, looked = candidates[-1], looked + len(candidates)
        if looked == LIMIT:
            break
    if since and not last.parents:
        raise UsageError(
            f"{since.sha[:12]} is not among the first parents of {commit.sha[:12]}", "name an older commit of this branch with --since"
        )
    return Missing(tuple(reversed(found)), _end(last, looked))


def _first_parents(git: Git, commit: Commit) -> Iterator[list[Commit]]:
    """From `commit` on, some at a time. Where a shallow clone ends, and no earlier, the remote is asked for more, once."""
    last = commit
    for batch in _batches(chain([commit], git.ancestors(commit))):
        yield batch
        last = batch[-1]
    if git.shallow and last.parents and _deepen(git):
        yield from _batches(git.ancestors(last))


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
        return list(pool.map(lambda commit: _is_image(store.get_manifest(commit.sha)), commits))


def _is_image(stored: StoredManifest | None) -> bool:
    return stored is not None and own_manifest(stored) is not None


def _end(last: Commit, looked: int) -> str:
    if not last.parents:
        return "the first commit"
    if looked == LIMIT:
        return f"the limit of {LIMIT} commits"
    return "the end of this shallow clone, which could not be deepened"
