"""Which protected tips hold back what the plan's rules name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from repo_slim.analyse import Analysis
from repo_slim.selection import Tips
from repo_slim.text import text_of


@dataclass(frozen=True, slots=True)
class Held:
    """What one ref's tip contains of it, in file versions and their bytes; `alone`: the bytes that no other tip contains."""

    ref: str
    file_versions: int
    size: int
    alone: int


def held_by(analysis: Analysis, spared: Collection[str], tips: Tips) -> tuple[Held, ...]:
    """First whatever would let most go, if its branch were deleted. HEAD is one of the branches mostly, and then not told."""
    found = {ref: {blob for _, blob in pairs if blob in spared} for ref, pairs in _branches(tips).items()}
    times = Counter(blob for blobs in found.values() for blob in blobs)
    all_of_it = (_held(analysis, ref, blobs, times) for ref, blobs in found.items() if blobs)
    return tuple(sorted(all_of_it, key=lambda held: (-held.alone, -held.size, held.ref)))


def _branches(tips: Tips) -> Tips:
    others = {ref: pairs for ref, pairs in tips.items() if ref != "HEAD"}
    return others if tips.get("HEAD") in others.values() else tips


def _held(analysis: Analysis, ref: str, blobs: Collection[str], times: Mapping[str, int]) -> Held:
    alone = sum(analysis.size[blob] for blob in blobs if times[blob] == 1)
    return Held(text_of(ref), len(blobs), sum(analysis.size[blob] for blob in blobs), alone)
