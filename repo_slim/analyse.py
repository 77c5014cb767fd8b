"""Stage two: which blobs the history has, how large they are, under which names, and what the tips of protected refs contain."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from repo_slim import lfs
from repo_slim.errors import SourceError
from repo_slim.git import Git
from repo_slim.history import SUBMODULE, Step, files_of, steps
from repo_slim.lfs import Pointer

_SIZES = "%(objectname) %(objecttype) %(objectsize) %(objectsize:disk)"


@dataclass(frozen=True, slots=True)
class Born:
    """The first commit that has a blob: its author's address, and when (seconds since 1970)."""

    commit: str
    author: str
    time: int


@dataclass(frozen=True)
class Analysis:
    """`size` and `disk` (in the mirror's packs) are bytes by blob; `paths` are all names under which a blob is in any tree.

    `held` are blobs that a ref or a note names without a path in any commit: they stay. `links`: those that are symbolic links somewhere.
    """

    commits: int
    last: int
    size: Mapping[str, int]
    disk: Mapping[str, int]
    paths: Mapping[str, frozenset[bytes]]
    links: frozenset[str]
    born: Mapping[str, Born]
    held: frozenset[str]
    pointers: Mapping[str, Pointer]


def analyse(git: Git) -> Analysis:
    """Reads the mirror once. Raises SourceError when an object is missing or broken."""
    paths: dict[str, set[bytes]] = {}
    born: dict[str, Born] = {}
    links: set[str] = set()
    count = last = 0
    for step in steps(git):
        count, last = count + 1, max(last, step.time)
        _take(step, paths, born, links)
    trees, held = _without_commits(git)
    for tree in trees:
        for path, _, blob in files_of(git, tree):
            paths.setdefault(blob, set()).add(path)
    size, disk = sizes(git, paths)
    small = [blob for blob, bytes_ in size.items() if lfs.LEAST <= bytes_ < lfs.MOST]
    named = {blob: frozenset(found) for blob, found in paths.items()}
    return Analysis(count, last, size, disk, named, frozenset(links), born, frozenset(held), lfs.pointers(git, small))


def _take(step: Step, paths: dict[str, set[bytes]], born: dict[str, Born], links: set[str]) -> None:
    for path, _, _, mode, blob in step.changes:
        if mode in ("000000", SUBMODULE):
            continue
        known = paths.get(blob)
        if known is None:
            paths[blob] = {path}
            born[blob] = Born(step.commit, step.author, step.time)
        else:
            known.add(path)
        if mode == "120000":
            links.add(blob)


def sizes(git: Git, blobs: Iterable[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes of each blob, and what they take on disk now."""
    asked = "".join(f"{blob}\n" for blob in blobs).encode()
    size, disk = {}, {}
    for line in git.run("cat-file", "--batch-check=" + _SIZES, stdin=asked).decode().splitlines():
        words = line.split(" ")
        if len(words) != 4 or words[1] != "blob":
            raise SourceError(f"{words[0]} should be a file, and git says: {line}", "`git fsck --full` in the source says what is broken")
        size[words[0]], disk[words[0]] = int(words[2]), int(words[3])
    return size, disk


def _without_commits(git: Git) -> tuple[set[str], set[str]]:
    """Trees and blobs that refs lead to without a commit (`git tag v1-data HEAD:data`), and blobs that are notes."""
    trees, blobs = set(), set()
    for name, (kind, oid) in git.peeled().items():
        if kind == "tree":
            trees.add(oid)
        elif kind == "blob":
            blobs.add(oid)
        elif name.startswith("refs/notes/"):
            blobs |= _blobs_of(git, oid)
    return trees, blobs


def _blobs_of(git: Git, commit: str) -> set[str]:
    """Of all the history of a commit."""
    listed = git.run("rev-list", "--objects", "--no-object-names", "--filter=object:type=blob", "--filter-provided-objects", commit)
    return set(listed.decode().split())


def tips(git: Git, protects: Callable[[str], bool]) -> dict[str, frozenset[tuple[bytes, str]]]:
    """HEAD and each ref that is protected -> (path, blob) of all that it contains; what two refs share is read once."""
    trees = {name: oid for name, (kind, oid) in git.peeled().items() if kind in ("commit", "tree") and protects(name)}
    if head := git.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}"):
        trees["HEAD"] = head
    read = {oid: frozenset((path, blob) for path, _, blob in files_of(git, oid)) for oid in set(trees.values())}
    return {name: read[oid] for name, oid in trees.items()}


def shown(path: bytes) -> str:
    """A path as text; bytes that are no UTF-8 as lone surrogates, which JSON keeps."""
    return os.fsdecode(path)
