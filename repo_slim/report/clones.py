"""What a clone costs: now, with a filter, after the plan. From one listing of what the branches and tags lead to."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from repo_slim.analyse import Analysis
from repo_slim.errors import SourceError
from repo_slim.git import Git

LIMIT = 1 << 20
"""Bytes: git's `1m`. The filter leaves out what has as many or more."""
COMMAND = "git clone --filter=blob:limit=1m"
_FORMAT = "%(objectname) %(objecttype) %(objectsize) %(objectsize:disk)"


@dataclass(frozen=True, slots=True)
class Clones:
    """Bytes that a clone of all branches and tags takes, as they are packed now, and how many objects those are.

    `filter_blob_limit_1m`: with `COMMAND` and no rewrite, the large files of HEAD, which its checkout fetches, included. `before`: all.
    `after`: after the plan's rewrite; `after_with_filter`: both. `lfs_of_head`: what a checkout of HEAD fetches from the LFS server
    besides, in every case.
    """

    filter_blob_limit_1m: int
    before: int
    after: int
    after_with_filter: int
    lfs_of_head: int
    objects: int


def measure(git: Git, analysis: Analysis, gone: AbstractSet[str]) -> Clones:
    """Reads names and sizes alone, a line an object; nothing is kept but the sums. `gone`: blobs that the plan takes away."""
    head = objects_at(git, *_head(git))
    filtered = before = after = both = objects = 0
    for oid, kind, size, disk in _objects(git):
        objects += 1
        comes, stays = kind != "blob" or size < LIMIT or oid in head, oid not in gone
        before += disk
        filtered += disk * comes
        after += disk * stays
        both += disk * (comes and stays)
    pointers = {analysis.pointers[blob] for blob in head & analysis.pointers.keys()}
    return Clones(filtered, before, after, both, sum(pointer.size for pointer in pointers), objects)


def objects_at(git: Git, *tips: str) -> frozenset[str]:
    """All objects of the commits that the options or names give, nothing of their history; what tips share is read once."""
    if not tips:
        return frozenset()
    return frozenset(git.text("rev-list", "--objects", "--no-object-names", "--no-walk=unsorted", *tips).split())


def at_branch_tips(git: Git) -> frozenset[str]:
    """What HEAD and the tips of branches have."""
    return objects_at(git, "--branches", *_head(git))


def _head(git: Git) -> tuple[str, ...]:
    return ("HEAD",) if git.ask("rev-parse", "--verify", "--quiet", "HEAD") else ()


def _objects(git: Git) -> Iterator[tuple[str, str, int, int]]:
    """Name, kind, bytes and packed bytes. Raises SourceError naming what is missing."""
    with (
        git.piped("rev-list", "--objects", "--no-object-names", "--branches", "--tags", *_head(git)) as listed,
        git.piped("cat-file", f"--batch-check={_FORMAT}", stdin=listed) as out,
    ):
        for line in out:
            words = line.decode().split()
            if len(words) != 4:
                raise SourceError(f"{words[0]} is missing from {git.directory}", "`git fsck --full` there says what is broken")
            yield words[0], words[1], int(words[2]), int(words[3])
