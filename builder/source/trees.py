"""A commit's tree as a flat, sorted list of files."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, cast

from builder.errors import SourceError
from builder.model.tree import DIRECTORY, EXECUTABLE, FILE, SUBMODULE, SYMLINK, Entry
from builder.source.objects import ObjectReader

_ITEM = re.compile(rb"([0-7]{1,8}) ([^\0]+)\0(.{20})", re.DOTALL)
_KINDS = {stat.S_IFLNK: SYMLINK, stat.S_IFDIR: DIRECTORY, SUBMODULE: SUBMODULE}
_FORBIDDEN = frozenset((b".", b"..", b".git"))
_REPAIR = "run `git fsck` and repair the commit"

Item = tuple[bytes, int, str]
"""Name, mode, oid: one line of a tree object."""


class _Below(NamedTuple):
    """A subdirectory: its tree, and what its paths begin with."""

    tree: str
    prefix: bytes


class TreeCache:
    """Tree objects that were read before: from one commit to the next nearly all are the same."""

    def __init__(self) -> None:
        self._items: dict[str, tuple[Item, ...]] = {}
        self._directories: dict[tuple[str, bytes], list[list[Entry] | _Below]] = {}

    def load(self, reader: ObjectReader, root: str) -> None:
        """Reads whatever is missing below `root`, a level at a time."""
        level, seen = [root], {root}
        while level:
            unread = [oid for oid in level if oid not in self._items]
            for read in reader.objects(unread):
                self._items[read.oid] = tuple(parse_tree(read.data, read.oid))
            below = [oid for tree in level for _, mode, oid in self._items[tree] if mode == DIRECTORY]
            level = [oid for oid in dict.fromkeys(below) if oid not in seen]
            seen.update(level)

    def flatten(self, root: str) -> list[Entry]:
        """Every file below a tree that was loaded, sorted by path (submodules with mode SUBMODULE)."""
        found: list[Entry] = []
        self._collect(root, b"", found)
        return found

    def _collect(self, tree: str, prefix: bytes, found: list[Entry]) -> None:
        for part in self._parts(tree, prefix):
            if isinstance(part, _Below):
                self._collect(part.tree, part.prefix, found)
            else:
                found.extend(part)

    def _parts(self, tree: str, prefix: bytes) -> list[list[Entry] | _Below]:
        """A directory's own files, and its subdirectories in their places: kept, as most directories are the same in the next commit."""
        known = self._directories.get((tree, prefix))
        if known is not None:
            return known
        parts: list[list[Entry] | _Below] = [[]]
        for name, mode, oid in self._items[tree]:
            if mode == DIRECTORY:
                parts += [_Below(oid, prefix + name + b"/"), []]
            else:
                cast(list[Entry], parts[-1]).append(Entry(prefix + name, mode, oid))
        self._directories[tree, prefix] = parts
        return parts


def parse_tree(data: bytes, oid: str) -> Iterator[Item]:
    """The lines of a tree object. Raises SourceError on names that would leave the tree, stand twice, or are not in git's order."""
    end, last, names = 0, b"", set()
    for match in _ITEM.finditer(data):
        spelled, name, raw = match.groups()
        mode = _mode(spelled)
        if match.start() != end or not mode:
            break
        key = name + b"/" if mode == DIRECTORY else name
        if name in _FORBIDDEN or b"/" in name:
            raise SourceError(f"tree {oid} holds the name {name!r}, which no file can have", _REPAIR)
        if key <= last or name in names:
            raise SourceError(f"tree {oid} holds the name {name!r} out of order, or twice", _REPAIR)
        end, last = match.end(), key
        names.add(name)
        yield name, mode, raw.hex()
    if end != len(data):
        raise SourceError(f"tree {oid} is not a tree of sha1 names", "run `git fsck`")


@lru_cache
def _mode(spelled: bytes) -> int:
    """What git takes a mode for: old tools wrote 100664 and 040000. 0 for what is none."""
    mode = int(spelled, 8)
    if stat.S_ISREG(mode):
        return EXECUTABLE if mode & 0o100 else FILE
    return _KINDS.get(stat.S_IFMT(mode), 0)
