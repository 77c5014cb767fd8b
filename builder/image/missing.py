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
_SOUND = 25  # in a row: one, and three times as many as are asked at once


@dataclass(frozen=True, slots=True)
class Missing:
    """`commits`: those without an image, oldest first. `stopped`: where the search ended, in words.

    `gaps`: the names of those among them that lie below a commit with an image: an earlier build could not make theirs, or somebody
    made a later commit's image before any build did.
    """

    commits: tuple[Commit, ...]
    stopped: str
    gaps: frozenset[str] = frozenset()


def find_missing(git: Git, store: Store, commit: Commit, since: Commit | None = None, gaps_since: float = 0) -> Missing:
    """First parents of `commit` and itself that have no image, back to `since` (which is not looked at), else as far as is needed.

    That is down to the newest that has an image, and in gaps below it: until 25 in a row have theirs, or down to commits of before
    `gaps_since` (seconds since 1970), as clean-up removes images that old. What lies below all images is none of them. At most 200 are
    looked at. A shallow clone is deepened once.
    Raises UsageError when the line of first parents ends and `since` was not on it.
    """
    return _back_to(git, store, commit, since) if since else _without_gaps(git, store, commit, gaps_since)


def _without_gaps(git: Git, store: Store, commit: Commit, gaps_since: float) -> Missing:
    above: list[Commit] = []
    gaps: list[Commit] = []
    below: list[Commit] = []
    newest, bottom, last, looked, row = None, None, commit, 0, 0
    for last, has_image in _looked(git, store, commit):
        looked += 1
        old = last.date < gaps_since
        if not has_image:
            if newest and old:
                break
            (below if newest else above).append(last)
            row = 0
            continue
        newest = newest or last
        bottom = last if below or not bottom else bottom
        gaps += below
        below.clear()
        row += 1
        if row == _SOUND or old:
            break
    stopped = f"{bottom.sha[:12]}, which has its image" if bottom else _end(last, looked)
    return Missing(tuple(reversed(above + gaps)), stopped, frozenset(gap.sha for gap in gaps))


def _back_to(git: Git, store: Store, commit: Commit, since: Commit) -> Missing:
    found: list[Commit] = []
    last, looked = commit, 0
    for last, has_image in _looked(git, store, commit):
        if last.sha == since.sha:
            return Missing(tuple(reversed(found)), f"{since.sha[:12]}, as asked")
        looked += 1
        if not has_image:
            found.append(last)
    if not last.parents:
        raise UsageError(
            f"{since.sha[:12]} is not among the first parents of {commit.sha[:12]}", "name an older commit of this branch with --since"
        )
    return Missing(tuple(reversed(found)), _end(last, looked))


def _looked(git: Git, store: Store, commit: Commit) -> Iterator[tuple[Commit, bool]]:
    """Each first parent, from `commit` itself on, with whether it has an image; at most 200."""
    left = LIMIT
    for batch in _first_parents(git, commit):
        candidates = batch[:left]
        yield from zip(candidates, _have_image(store, candidates), strict=True)
        left -= len(candidates)
        if not left:
            return


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
