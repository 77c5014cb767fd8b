"""The largest things ever committed, and what LFS holds."""

from __future__ import annotations

import heapq
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from repo_slim.analyse import Analysis
from repo_slim.report.tally import ROWS
from repo_slim.selection import Selection
from repo_slim.text import text_of

_NAMES = 5


@dataclass(frozen=True, slots=True)
class Large:
    """A file version: its blob, the first names it has (and how many more), its bytes as a file and disk, the commit that added it,
    whether a branch's tip has it, and whether the plan takes it away.
    """

    blob: str
    paths: tuple[str, ...]
    more_paths: int
    size: int
    disk: int
    commit: str
    author: str
    time: int
    at_tip: bool
    goes: bool


def largest(analysis: Analysis, at_tip: AbstractSet[str], gone: AbstractSet[str]) -> tuple[Large, ...]:
    """By their size as files."""
    found = heapq.nlargest(ROWS, analysis.size.items(), key=lambda item: (item[1], item[0]))
    return tuple(_large(analysis, blob, blob in at_tip, blob in gone) for blob, _ in found)


def _large(analysis: Analysis, blob: str, at_tip: bool, goes: bool) -> Large:
    paths, born = sorted(analysis.paths[blob]), analysis.born.get(blob)
    commit, author, time = (born.commit, text_of(born.author), born.time) if born else ("", "", 0)
    names = tuple(map(text_of, paths[:_NAMES]))
    size, disk = analysis.size[blob], analysis.disk[blob]
    return Large(blob, names, len(paths) - len(names), size, disk, commit, author, time, at_tip, goes)


@dataclass(frozen=True, slots=True)
class LfsRow:
    """LFS objects that pointers at one path name, in all of history: how many, their bytes, how many bytes of those a branch's tip still
    points to, and how many objects nobody has.
    """

    name: str
    objects: int
    size: int
    at_tip: int
    missing: int


@dataclass(frozen=True, slots=True)
class Count:
    """LFS objects, and their bytes."""

    objects: int
    size: int


@dataclass(frozen=True, slots=True)
class Lfs:
    """All LFS objects that pointers name; of these what a branch's tip still points to, and what the plan archives.

    `paths`: the largest first. An object counts for the first path that has it. `rest` sums up the paths that are not told.
    """

    objects: int
    size: int
    at_tips: Count
    archived: Count
    paths: tuple[LfsRow, ...]
    rest: LfsRow | None


def lfs_of(analysis: Analysis, selection: Selection, at_tip: AbstractSet[str], missing: Collection[str]) -> Lfs:
    still = {pointer.oid: pointer.size for blob, pointer in analysis.pointers.items() if blob in at_tip}
    rows: dict[str, LfsRow] = {}
    seen: set[str] = set()
    lost = frozenset(missing)
    for path, blob in sorted((min(analysis.paths[blob]), blob) for blob in analysis.pointers):
        pointer = analysis.pointers[blob]
        if pointer.oid not in seen:
            seen.add(pointer.oid)
            name = text_of(path)
            one = LfsRow(name, 1, pointer.size, still.get(pointer.oid, 0), int(pointer.oid in lost))
            rows[name] = _sum(name, [rows[name], one] if name in rows else [one])
    ordered = sorted(rows.values(), key=lambda row: (-row.size, row.name))
    told, others = ordered[:ROWS], ordered[ROWS:]
    archived = [pointer.size for oid, pointer in selection.lfs.items() if oid not in lost]
    tips = Count(len(still), sum(still.values()))
    rest = _sum(f"{len(others):,} more", others) if others else None
    return Lfs(len(seen), sum(row.size for row in ordered), tips, Count(len(archived), sum(archived)), tuple(told), rest)


def _sum(name: str, rows: list[LfsRow]) -> LfsRow:
    return LfsRow(name, *(sum(column) for column in zip(*((row.objects, row.size, row.at_tip, row.missing) for row in rows), strict=True)))
