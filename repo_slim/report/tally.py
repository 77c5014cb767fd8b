"""Sums by name: by path, directory, extension, age and author."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from repo_slim.analyse import Analysis
from repo_slim.text import text_of

ROWS = 200
"""As many of a table's rows are told one by one; the others together."""
TOP = "(top)"
_DAY = 86_400
_AGES = ((30, "under a month"), (91, "1 to 3 months"), (182, "3 to 6 months"), (365, "6 to 12 months"), (730, "1 to 2 years"))
_OLDEST = "over 2 years"


@dataclass(frozen=True, slots=True)
class Row:
    """File versions under one name: how many, bytes as they are packed now, bytes as files, and packed bytes that a branch's tip has."""

    name: str
    versions: int
    disk: int
    size: int
    at_tip: int


@dataclass(frozen=True, slots=True)
class Table:
    """The largest rows first. `rest` is the sum of the others (its name says how many); of directories, which contain each other, none."""

    rows: tuple[Row, ...]
    rest: Row | None


@dataclass(slots=True)
class _Sums:
    """What grows while blobs are counted: name -> versions, disk, size, at_tip."""

    by_name: dict[str, list[int]] = field(default_factory=dict)

    def add(self, name: str, disk: int, size: int, at_tip: bool) -> None:
        sums = self.by_name.setdefault(name, [0, 0, 0, 0])
        sums[0] += 1
        sums[1] += disk
        sums[2] += size
        sums[3] += disk if at_tip else 0

    def table(self, *, nested: bool = False) -> Table:
        largest = heapq.nlargest(ROWS, self.by_name.items(), key=lambda item: (item[1][1], item[1][2], item[0]))
        told = tuple(Row(name, *sums) for name, sums in largest)
        return Table(told, None if nested else self._rest(told))

    def _rest(self, told: tuple[Row, ...]) -> Row | None:
        left = len(self.by_name) - len(told)
        if not left:
            return None
        every = [sum(column) for column in zip(*self.by_name.values(), strict=True)]
        named = [sum(column) for column in zip(*((row.versions, row.disk, row.size, row.at_tip) for row in told), strict=True)]
        versions, disk, size, at_tip = (all_ - some for all_, some in zip(every, named, strict=True))
        return Row(f"{left:,} more", versions, disk, size, at_tip)


def tables(analysis: Analysis, at_tip: AbstractSet[str]) -> dict[str, Table]:
    """`paths`, `directories`, `extensions`, `ages` and `authors`. A version that has several names counts for the first of them."""
    names: Mapping[str, Callable[[str, bytes], Iterable[str]]] = {
        "paths": lambda _, path: (text_of(path),),
        "directories": lambda _, path: directories_of(text_of(path)),
        "extensions": lambda _, path: (extension_of(text_of(path)),),
        "ages": lambda blob, _: (_age(analysis, blob),),
        "authors": lambda blob, _: (text_of(analysis.born[blob].author) if blob in analysis.born else "(no commit)",),
    }
    sums = {kind: _Sums() for kind in names}
    for blob, paths in analysis.paths.items():
        first, disk, size, tip = min(paths), analysis.disk[blob], analysis.size[blob], blob in at_tip
        for kind, names_of in names.items():
            for name in names_of(blob, first):
                sums[kind].add(name, disk, size, tip)
    return {kind: each.table(nested=kind == "directories") for kind, each in sums.items()}


def directories_of(path: str) -> tuple[str, ...]:
    """`a/b/c.txt`: `a/` and `a/b/`; a file that is in none is at the top."""
    slashes = [place for place, char in enumerate(path) if char == "/"]
    return tuple(path[: place + 1] for place in slashes) or (TOP,)


def extension_of(path: str) -> str:
    stem, dot, suffix = path.rpartition("/")[2].rpartition(".")
    return f".{suffix}".lower() if stem and dot and suffix else "(none)"


def _age(analysis: Analysis, blob: str) -> str:
    """How long before the last commit it was added: the same on every day."""
    born = analysis.born.get(blob)
    if born is None:
        return "(no commit)"
    days = (analysis.last - born.time) // _DAY
    return next((name for limit, name in _AGES if days < limit), _OLDEST)
