"""Every commit with what it changed against its first parent, oldest first: one pass of git over the trees, no content read.

A path that a commit's tree has with some blob was given to it by that commit or by an earlier one on its first-parent line, so these
changes name every (path, blob) that any tree has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from repo_slim.git import Git

APART = ("refs/notes/*", "refs/builder/commit-map")
"""Refs whose trees are no files of the project: they are not filtered, but told the new names."""
FILE, SUBMODULE, SYMLINK, TREE = "100644", "160000", "120000", "040000"

Change = tuple[bytes, str, str, str, str]
"""Path, mode and object before, mode and object after; the mode is 000000 where there is nothing."""


@dataclass(frozen=True, slots=True)
class Step:
    """A commit: its parents, its author's address, and when it was committed (seconds since 1970)."""

    commit: str
    parents: tuple[str, ...]
    author: str
    time: int
    changes: tuple[Change, ...]


def steps(git: Git, tip: str = "") -> Iterator[Step]:
    """All commits that refs lead to, but for those of `APART`, or all that `tip` leads to; parents come first."""
    wanted = [tip] if tip else [*(f"--exclude={pattern}" for pattern in APART), "--all"]
    shown = ["diff-tree", "--stdin", "--root", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--diff-merges=first-parent", "--always"]
    with (
        git.piped("rev-list", "--topo-order", "--reverse", *wanted) as commits,
        git.piped(*shown, "--format=%H%x09%P%x09%ct%x09%ae", stdin=commits) as out,
    ):
        yield from _parsed(_words(out))


def _words(out: object, size: int = 1 << 16) -> Iterator[bytes]:
    """What stands between zero bytes."""
    rest = b""
    while chunk := out.read(size):  # type: ignore[attr-defined]
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole
    if rest:
        yield rest


def _parsed(words: Iterator[bytes]) -> Iterator[Step]:
    head: bytes | None = None
    changes: list[Change] = []
    for word in words:
        word = word.lstrip(b"\n")  # git ends the first line with one, whatever -z says
        if word[:1] == b":":
            before, after, old, new, _ = word[1:].decode().split(" ")
            changes.append((next(words), before, old, after, new))
        elif word:
            if head is not None:
                yield _step(head, changes)
            head, changes = word, []
    if head is not None:
        yield _step(head, changes)


def _step(head: bytes, changes: list[Change]) -> Step:
    commit, parents, time, author = head.split(b"\t", 3)
    return Step(commit.decode(), tuple(parents.decode().split()), author.decode("utf-8", "replace"), int(time), tuple(changes))


def files_of(git: Git, treeish: str) -> Iterator[tuple[bytes, str, str]]:
    """Path, mode and blob of every file below a tree; submodules are left out."""
    for line in git.run("ls-tree", "-r", "-z", "--full-tree", treeish).split(b"\0"):
        if line:
            what, _, path = line.partition(b"\t")
            mode, _, oid = what.decode().split(" ")
            if mode != SUBMODULE:
                yield path, mode, oid
