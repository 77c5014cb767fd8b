"""From rules to exactly what goes: (path, blob) by (path, blob), the same in every commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from repo_slim.analyse import Analysis
from repo_slim.lfs import Pointer
from repo_slim.rules import Rules

Tips = Mapping[str, frozenset[tuple[bytes, str]]]


@dataclass(frozen=True)
class Selection:
    """`removed`: blob -> the paths at which it is taken out of every tree. `gone`: those blobs that nothing has afterwards.

    `lfs`: objects that no protected tip points to; they go into the archive by their own sha256. `spared`: blobs that the rules name and
    only a tip holds.
    """

    removed: Mapping[str, frozenset[bytes]]
    gone: frozenset[str]
    spared: frozenset[str]
    lfs: Mapping[str, Pointer]

    def pairs(self) -> Iterator[tuple[str, bytes]]:
        """Blob and path, sorted."""
        for blob in sorted(self.removed):
            for path in sorted(self.removed[blob]):
                yield blob, path


def select(analysis: Analysis, rules: Rules, tips: Tips) -> Selection:
    """Applies the rules to all that the history has."""
    protected = protected_blobs(rules, tips)
    removed, spared = {}, set()
    for blob, paths in analysis.paths.items():
        chosen = frozenset(path for path in paths if goes(rules, analysis, path, blob, protected))
        if chosen:
            removed[blob] = chosen
        if blob in protected and any(goes(rules, analysis, path, blob, frozenset()) for path in paths - chosen):
            spared.add(blob)
    whole = (blob for blob, paths in removed.items() if paths == analysis.paths[blob] and blob not in analysis.held)
    return Selection(removed, frozenset(whole), frozenset(spared), _lfs(analysis, protected))


def protected_blobs(rules: Rules, tips: Tips) -> frozenset[str]:
    """What the tips contain, but for what the plan takes from them in so many words."""
    pairs = (pair for found in tips.values() for pair in found)
    return frozenset(blob for path, blob in pairs if not _from_tips(rules, path))


def goes(rules: Rules, analysis: Analysis, path: bytes, blob: str, protected: frozenset[str]) -> bool:
    """Whether this blob is taken away wherever it is at this path."""
    drop, keep, from_tips = rules.said_of(path)
    if keep:
        return False
    if from_tips:
        return True
    named = drop or (rules.drop_over is not None and analysis.size[blob] > rules.drop_over)
    named = named or (rules.lfs == "drop" and blob in analysis.pointers)
    return named and blob not in protected


def _from_tips(rules: Rules, path: bytes) -> bool:
    _, keep, from_tips = rules.said_of(path)
    return from_tips and not keep


def _lfs(analysis: Analysis, protected: frozenset[str]) -> dict[str, Pointer]:
    still = {analysis.pointers[blob].oid for blob in protected if blob in analysis.pointers}
    return {pointer.oid: pointer for pointer in analysis.pointers.values() if pointer.oid not in still}
