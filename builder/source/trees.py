"""A commit's tree as a flat, sorted list of files."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator

from builder.errors import SourceError
from builder.model.tree import DIRECTORY, EXECUTABLE, FILE, SUBMODULE, SYMLINK, Entry
from builder.source.objects import ObjectReader

_ITEM = re.compile(rb"([0-7]{1,8}) ([^\0]+)\0(.{20})", re.DOTALL)
_KINDS = {stat.S_IFLNK: SYMLINK, stat.S_IFDIR: DIRECTORY, SUBMODULE: SUBMODULE}
_FORBIDDEN = frozenset((b".", b"..", b".git"))
_REPAIR = "run `git fsck` and repair the commit"

Item = tuple[bytes, int, str]
"""Name, mode, oid: one line of a tree object."""


class TreeCache:
    """Tree objects that were read before: from one commit to the next nearly all are the same."""

    def __init__(self) -> None:
        self._items: dict[str, tuple[Item, ...]] = {}

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

    def flatten(self, root: str) -> Iterator[Entry]:
        """Every file below a tree that was loaded, sorted by path (submodules with mode SUBMODULE)."""
        return self._below(root, b"")

    def _below(self, tree: str, prefix: bytes) -> Iterator[Entry]:
        for name, mode, oid in self._items[tree]:
            if mode == DIRECTORY:
                yield from self._below(oid, prefix + name + b"/")
            else:
                yield Entry(prefix + name, mode, oid)


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


def _mode(spelled: bytes) -> int:
    """What git takes a mode for: old tools wrote 100664 and 040000. 0 for what is none."""
    mode = int(spelled, 8)
    if stat.S_ISREG(mode):
        return EXECUTABLE if mode & 0o100 else FILE
    return _KINDS.get(stat.S_IFMT(mode), 0)
