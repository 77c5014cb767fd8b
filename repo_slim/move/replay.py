"""Local commits, made again on the commits of now. No working tree, no merging: what a commit has is its tree, and that stays.

The tree of the new commit is the old tree without the files that were taken out of the history below it. So each commit changes what it
changed before, merges included, and there is one kind of conflict only: a commit that itself changes or brings back such a file.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from repo_slim import tags
from repo_slim.commit_map import CommitMap
from repo_slim.git import NOTHING, Git, Objects
from repo_slim.history import SUBMODULE
from repo_slim.text import text_of

TakenOut = Literal["stop", "keep", "drop"]
"""What becomes of a local change to a file that was taken out: its branch stops, the file stays whole, or the change goes."""
Removed = Mapping[tuple[bytes, str], tuple[str, str] | None]
"""Path and blob of before -> mode and blob that are there now, or None."""
_NAMES = re.compile(rb"\b[0-9a-f]{7,40}\b")
_LOST = (b"gpgsig ", b"gpgsig-sha256 ", b"mergetag ")


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why a commit, and all that follow it, cannot be made again."""

    commit: str
    text: str
    paths: tuple[str, ...] = ()


class Replay:
    """`new` and `removed` answer for every commit that the tips lead to. Nothing is written before `write` but trees.

    `parents`: of local commits. `made`: new commits, by name. `unsigned`: local commits that lose a signature.
    """

    def __init__(self, git: Git, known: CommitMap, now: Collection[str], taken: Collection[str], choice: TakenOut, folder: Path) -> None:
        """`now`: commits of the new history. `taken`: blobs that nothing there has any more. `folder`: for what passes by."""
        self._git, self._map, self._now, self._taken = git, known, now, taken
        self._choice, self._folder = choice, folder
        self._there: set[str] = set()
        self._done: dict[str, str | Conflict] = {}
        self._removed: dict[str, Removed] = {}
        self._trees: dict[tuple[str, frozenset[object]], str] = {}
        self.parents: dict[str, tuple[str, ...]] = {}
        self.made: dict[str, bytes] = {}
        self.unsigned: list[str] = []

    def run(self, tips: Iterable[str]) -> None:
        tips = sorted(set(tips))
        if not tips:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        listed = self._git.text("rev-list", "--topo-order", "--reverse", "--stdin", stdin="".join(f"{tip}\n" for tip in tips).encode())
        commits = listed.splitlines()
        self._there.update(commits)
        with Objects(self._git) as objects:
            for commit in commits:
                if self.is_local(commit) and commit not in self._done:
                    self._done[commit] = self._step(commit, objects.read(commit)[1])

    def is_local(self, commit: str) -> bool:
        """Nothing in the new repository stands for it. Of requests (refs/pull) the map has names, but nobody can fetch them."""
        new = self._map.names.get(commit)
        return commit not in self._now and (new is None or (new != commit and new not in self._now))

    def new(self, commit: str) -> str | Conflict:
        return self._done[commit] if self.is_local(commit) else self._map.names.get(commit, commit)

    def removed(self, commit: str) -> Removed:
        """Of the tree of a commit: what its new one does not have."""
        if commit not in self._removed:
            new = self.new(commit)
            self._removed[commit] = self._differences(commit, new) if isinstance(new, str) and new != commit else {}
        return self._removed[commit]

    @property
    def replayed(self) -> dict[str, str]:
        """Local commits that have another name now."""
        return {old: new for old, new in self._done.items() if isinstance(new, str) and new != old}

    def write(self) -> None:
        """The commits that were made, so that refs can lead to them."""
        tags.write_objects(self._git, "commit", self.made, self._folder / "commits")

    def _differences(self, old: str, new: str) -> Removed:
        return {(path, blob): (mode, after) if after else None for path, blob, mode, after in self._changes(old, new) if blob}

    def _changes(self, old: str, new: str) -> list[tuple[bytes, str, str, str]]:
        """Path, blob before, mode and blob after; empty where there is none."""
        words = iter(self._git.run("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", old, new).split(b"\0")[:-1])
        found = []
        for said in words:
            before_mode, mode, before, after, _ = said[1:].decode().split(" ")
            before, after = (_file(before_mode, before), _file(mode, after))
            found.append((next(words), before, mode, after))
        return found

    def _step(self, commit: str, data: bytes) -> str | Conflict:
        tree, parents = _links(data)
        self.parents[commit] = parents
        if not self._there.issuperset(parents):
            return Conflict(
                commit, "what it was made upon is not in this shallow clone: first `git fetch --unshallow` from the old repository"
            )
        new = [self.new(parent) for parent in parents]
        for each in new:
            if isinstance(each, Conflict):
                return each
        removed, clashes = self._carried(commit, parents)
        if clashes and self._choice == "stop":
            paths = tuple(sorted(path.decode("utf-8", "surrogateescape") for path in clashes))
            return Conflict(commit, f"it changes or brings back {text_of(paths[0])}, which was taken out of the history", paths)
        self._removed[commit] = removed
        return self._commit(commit, data, self._tree(tree, removed), [str(each) for each in new])

    def _carried(self, commit: str, parents: Sequence[str]) -> tuple[Removed, list[bytes]]:
        """What the commit's tree still has of what was taken out below it; and paths with which it does something about that."""
        if not parents:
            return {}, []
        removed = dict(self.removed(parents[0]))
        others = {key: value for parent in parents[1:] for key, value in self.removed(parent).items()}
        gone = {blob for _, blob in (*removed, *others)}
        own = self._own(commit, parents[1:])
        clashes = []
        for path, before, _, after in self._changes(parents[0], commit):
            was = (path, before) in removed
            if was and before == after:  # only its mode
                continue
            removed.pop((path, before), None)
            if after and (path, after) in others:
                removed[path, after] = others[path, after]
            elif after and (own is None or path in own) and (was or after in gone or after in self._taken):
                clashes.append(path)
                if self._choice == "drop":
                    removed[path, after] = None
        return removed, clashes

    def _own(self, commit: str, others: Sequence[str]) -> set[bytes] | None:
        """Paths at which a merge is like none of these parents; None where there are none."""
        changed = [{path for path, *_ in self._changes(parent, commit)} for parent in others]
        return set.intersection(*changed) if changed else None

    def _tree(self, tree: str, removed: Removed) -> str:
        if not removed:
            return tree
        key = (tree, frozenset(removed.items()))
        if key not in self._trees:
            index = str(self._folder / "index")
            Path(index).unlink(missing_ok=True)
            self._git.run("read-tree", tree, GIT_INDEX_FILE=index)
            self._git.run("update-index", "-z", "--index-info", stdin=index_lines(removed), GIT_INDEX_FILE=index)
            self._trees[key] = self._git.text("write-tree", "--missing-ok", GIT_INDEX_FILE=index)
            Path(index).unlink(missing_ok=True)
        return self._trees[key]

    def _commit(self, commit: str, data: bytes, tree: str, parents: Sequence[str]) -> str:
        """The same author, dates and message; names of commits in the message are led on. A signature cannot stay."""
        if (tree, tuple(parents)) == _links(data):
            return commit
        head, split, body = data.partition(b"\n\n")
        kept, lost = _headers(head)
        links = [b"tree " + tree.encode(), *(b"parent " + parent.encode() for parent in parents)]
        made = b"\n".join([*links, *kept]) + split + _NAMES.sub(lambda found: self._led_on(found[0]), body)
        name = tags.name_of("commit", made)
        self.made[name] = made
        if lost:
            self.unsigned.append(commit)
        return name

    def _led_on(self, text: bytes) -> bytes:
        """A name of before, or its first digits where they are only one's, as the new one of the same length."""
        name = text.decode()
        known = _starting(self._old_names, name) + [each for each in self._done if each.startswith(name)]
        if len(known) != 1:
            return text
        new = self._done.get(known[0]) or self._map.names[known[0]]
        return new[: len(name)].encode() if isinstance(new, str) else text

    @cached_property
    def _old_names(self) -> list[str]:
        return sorted(self._map.names)


def index_lines(removed: Removed) -> bytes:
    """For `git update-index -z --index-info`."""
    lines = []
    for (path, _), instead in removed.items():
        mode, blob = instead or ("0", NOTHING)
        lines.append(f"{mode} {blob}\t".encode() + path + b"\0")
    return b"".join(lines)


def _file(mode: str, oid: str) -> str:
    return "" if mode in ("000000", SUBMODULE) else oid


def _links(data: bytes) -> tuple[str, tuple[str, ...]]:
    """The tree and the parents of a commit, as it says itself."""
    tree, *more = data.partition(b"\n\n")[0].split(b"\n")
    return tree[5:].decode(), tuple(line[7:].decode() for line in more if line.startswith(b"parent "))


def _headers(head: bytes) -> tuple[list[bytes], bool]:
    """All but tree, parents and signatures; and whether there was a signature. A line that begins with a space goes with the one before."""
    kept, lost, skipping = [], False, False
    for line in head.split(b"\n"):
        if not line.startswith(b" "):
            signed = line.startswith(_LOST)
            lost, skipping = lost or signed, signed or line.startswith((b"tree ", b"parent "))
        if not skipping:
            kept.append(line)
    return kept, lost


def _starting(names: Sequence[str], text: str) -> list[str]:
    at = bisect_left(names, text)
    return [name for name in names[at : at + 2] if name.startswith(text)]
