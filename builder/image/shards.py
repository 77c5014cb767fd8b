"""Which files share a layer: a pure function of the tree, and one that a small change of the tree hardly changes.

Small files are split by number and large ones by size class, each set within its own budget of layers. A set starts as one part;
the heaviest part is cut in two until the budget is used up: its dominant directory is taken out, or else its names are halved by a hash.
So files that change together stay together, code never shares a layer with a checkpoint, and no size of a small file has to be known.

The constants were chosen on the history of a large training repository: docs/adr/0002-shards.md.
"""

from __future__ import annotations

import hashlib
import heapq
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from builder.image.layers import CODEC
from builder.model.tree import Entry

LARGE = 128 << 10
"""From this size in bytes on, a file is large."""

_MIN_FILES = 16
_DOMINANT = 4  # a directory with at least 1/4 of its part's weight is taken out whole


@dataclass(frozen=True, slots=True)
class Budget:
    """How many layers small and large files may have."""

    small: int
    large: int

    @property
    def total(self) -> int:
        return self.small + self.large


FULL = Budget(34, 6)
COMPACT = Budget(13, 3)
"""For images whose base and dependencies leave little room: overlayfs takes about 125 layers."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The files of one layer, sorted by path. `title` is the directory that holds them all."""

    entries: tuple[Entry, ...]

    @property
    def title(self) -> str:
        first, last = self.entries[0].path, self.entries[-1].path
        common = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
        directory = first[: first.rfind(b"/", 0, common) + 1].decode("utf-8", "replace")
        return f"{directory or './'} ({len(self.entries)} file{'s' if len(self.entries) > 1 else ''})"

    def key(self, workdir: str) -> str:
        """Names the layer before it exists: 32 hex digits of a hash of every input of its bytes."""
        digest = hashlib.sha256(f"{CODEC}\n{workdir}\n".encode())
        digest.update(b"".join(b"%o %s %s\0" % (e.mode, e.oid.encode(), e.path) for e in self.entries))
        return digest.hexdigest()[:32]


def split_tree(entries: Sequence[Entry], size_classes: dict[str, int], budget: Budget) -> tuple[Shard, ...]:
    """Shards of a sorted list of files. `size_classes`: oid -> bit length of the size, of every large file and no other."""
    small = [entry for entry in entries if entry.oid not in size_classes]
    large = [entry for entry in entries if entry.oid in size_classes]
    parts = _split(small, [1] * len(small), budget.small, _MIN_FILES)
    parts += _split(large, [1 << size_classes[entry.oid] for entry in large], budget.large, 0)
    return tuple(sorted((Shard(part) for part in parts), key=lambda shard: shard.entries[0].path))


@dataclass(frozen=True, slots=True)
class _Group:
    """Entries [start, end) share the path component `name`, which ends in a slash when it is a directory."""

    name: bytes
    start: int
    end: int
    weight: int


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of the groups below one directory, whose path is `depth` bytes long. `bit` counts the halvings so far."""

    groups: tuple[_Group, ...]
    depth: int
    bit: int = 0

    @property
    def weight(self) -> int:
        return sum(group.weight for group in self.groups)


class _Splitter:
    """Cuts parts of one list of entries."""

    def __init__(self, entries: Sequence[Entry], weights: Iterable[int]) -> None:
        self.paths = [entry.path for entry in entries]
        self._sums = [0, *accumulate(weights)]

    def whole(self) -> _Part:
        return _Part(tuple(self._groups(0, len(self.paths), 0)), 0)

    def cut(self, part: _Part) -> tuple[_Part, _Part] | None:
        """Two parts, or None for a single file."""
        while len(part.groups) == 1:
            only = part.groups[0]
            if not only.name.endswith(b"/"):
                return None
            depth = part.depth + len(only.name)
            part = _Part(tuple(self._groups(only.start, only.end, depth)), depth)
        biggest = max(part.groups, key=lambda group: (group.weight, group.name))
        if biggest.name.endswith(b"/") and biggest.weight * _DOMINANT >= part.weight:
            rest = tuple(group for group in part.groups if group is not biggest)
            return _Part((biggest,), part.depth), _Part(rest, part.depth, part.bit)
        return _halve(part)

    def _groups(self, start: int, end: int, depth: int) -> Iterator[_Group]:
        while start < end:
            path = self.paths[start]
            slash = path.find(b"/", depth)
            stop = start + 1
            if slash >= 0:  # "0" is the byte after "/": everything in the directory sorts before it
                stop = bisect_left(self.paths, path[:slash] + b"0", start, end)
            yield _Group(path[depth : slash + 1] if slash >= 0 else path[depth:], start, stop, self._sums[stop] - self._sums[start])
            start = stop


def _halve(part: _Part) -> tuple[_Part, _Part]:
    hashes = {group: int.from_bytes(hashlib.sha256(group.name).digest(), "little") for group in part.groups}
    bit = part.bit
    while len({hashes[group] >> bit & 1 for group in part.groups}) == 1:
        bit += 1
    sides = [tuple(group for group in part.groups if hashes[group] >> bit & 1 == side) for side in (0, 1)]
    return _Part(sides[0], part.depth, bit + 1), _Part(sides[1], part.depth, bit + 1)


def _split(entries: Sequence[Entry], weights: list[int], budget: int, smallest: int) -> list[tuple[Entry, ...]]:
    if not entries:
        return []
    splitter = _Splitter(entries, weights)
    whole = splitter.whole()
    heap, done = [(*_rank(whole), whole)], [whole][:0]
    while heap and len(heap) + len(done) < budget:
        part = heapq.heappop(heap)[-1]
        halves = splitter.cut(part) if part.weight > smallest else None
        if halves is None:
            done.append(part)
        else:
            for half in halves:
                heapq.heappush(heap, (*_rank(half), half))
    parts = done + [item[-1] for item in heap]
    return [tuple(entry for group in part.groups for entry in entries[group.start : group.end]) for part in parts]


def _rank(part: _Part) -> tuple[int, int]:
    """Heaviest first; the weight in steps of an eighth, so that one more file seldom changes the order; then by path. Never equal."""
    weight = part.weight
    step = max(0, weight.bit_length() - 3)
    return -(weight >> step << step), part.groups[0].start
