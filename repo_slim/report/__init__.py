"""What there is to know about a repository before its history is rewritten: `report.html`, one file that needs no network, and the same
as `report.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from repo_slim.advice import Advice, advise
from repo_slim.analyse import Analysis
from repo_slim.files import write_whole
from repo_slim.git import Git
from repo_slim.report.clones import Clones, at_branch_tips, measure
from repo_slim.report.growth import Growth, growth
from repo_slim.report.held import Held, held_by
from repo_slim.report.largest import Large, Lfs, largest, lfs_of
from repo_slim.report.tally import Table, tables
from repo_slim.selection import Selection, Tips
from repo_slim.text import bytes_text, text_of

HTML, JSON = "report.html", "report.json"
SCHEMA = 1
_MOST = 3
"""How many refs are named on the screen that hold something back."""


@dataclass(frozen=True, slots=True)
class Sum:
    """Blobs, their bytes as files and as they are packed now."""

    file_versions: int
    size: int
    disk: int


@dataclass(frozen=True, slots=True)
class Removed:
    """What the plan takes out: of `file_versions` blobs, of `size` bytes, `gone` are nowhere afterwards, which took `disk` bytes.
    `spared_by_tips`: what its rules name too, but protected tips contain.
    """

    file_versions: int
    gone: int
    size: int
    disk: int
    spared_by_tips: Sum


@dataclass(frozen=True, slots=True)
class Report:
    """All of it. Bytes are `size` (as a file), `disk` (as packed now in the mirror) and `at_tip` (`disk` of what branch tips have)."""

    name: str
    commits: int
    last: int
    clone: Clones
    removed: Removed
    held: tuple[Held, ...]
    growth: Growth
    paths: Table
    directories: Table
    extensions: Table
    ages: Table
    authors: Table
    largest: tuple[Large, ...]
    lfs: Lfs
    lfs_missing: tuple[str, ...]
    advice: Advice | None

    @property
    def headline(self) -> str:
        """What is said first."""
        clone = self.clone
        return f"{bytes_text(clone.filter_blob_limit_1m)} instead of {bytes_text(clone.before)}"

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"schema": SCHEMA, **asdict(self)}


def make_report(
    git: Git, analysis: Analysis, selection: Selection, name: str, missing: Sequence[str] = (), tips: Tips | None = None
) -> Report:
    """Reads sizes and the files of HEAD; nothing of what it finds there is executed.

    `missing`: LFS objects that nobody has, by oid. `tips`: what protected tips contain.
    """
    tip = at_branch_tips(git)
    sums = tables(analysis, tip)
    return Report(
        name=text_of(name),
        commits=analysis.commits,
        last=analysis.last,
        clone=measure(git, analysis, selection.gone),
        removed=_removed(analysis, selection),
        held=held_by(analysis, selection.spared, tips or {}),
        growth=growth(git, analysis),
        paths=sums["paths"],
        directories=sums["directories"],
        extensions=sums["extensions"],
        ages=sums["ages"],
        authors=sums["authors"],
        largest=largest(analysis, tip, selection.gone),
        lfs=lfs_of(analysis, selection, tip, missing),
        lfs_missing=tuple(missing),
        advice=advise(git, analysis),
    )


def write_report(report: Report, directory: Path) -> None:
    """Writes `report.html` and `report.json`, each whole or not at all."""
    from repo_slim.report.page import page

    write_whole(directory / JSON, json.dumps(report.document(), indent=1).encode())
    write_whole(directory / HTML, page(report).encode())


def _removed(analysis: Analysis, selection: Selection) -> Removed:
    removed, gone, spared = (_sum(analysis, blobs) for blobs in (selection.removed, selection.gone, selection.spared))
    return Removed(removed.file_versions, gone.file_versions, removed.size, gone.disk, spared)


def _sum(analysis: Analysis, blobs: Iterable[str]) -> Sum:
    found = list(blobs)
    return Sum(len(found), sum(analysis.size[blob] for blob in found), sum(analysis.disk[blob] for blob in found))


def summary(told: Mapping[str, Any]) -> dict[str, Any]:
    """What is printed, too. File by file it is in the report alone."""
    lfs = {key: told["lfs"][key] for key in ("objects", "size", "at_tips", "archived")}
    advice = told["advice"] or {"dead": (), "scripts": ()}
    dead = {"modules": len(advice["dead"]), "scripts": len(advice["scripts"])}
    held = {"refs": len(told["held"]), "most": [dict(each) for each in told["held"][:_MOST]]}
    same = {key: told[key] for key in ("commits", "clone", "removed", "lfs_missing")}
    return {**same, "held_by": held, "lfs": lfs, "dead_code": dead}


def portable(document: Mapping[str, Any]) -> dict[str, Any]:
    """What does not depend on how the mirror happens to be packed: the same for every mirror of the same source."""
    return {key: _unpacked(document[key]) for key in ("schema", "name", "commits", "last", "removed", "largest", "lfs", "lfs_missing")}


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unpacked(inner) for key, inner in value.items() if key != "disk"}
    return [_unpacked(inner) for inner in value] if isinstance(value, list) else value
