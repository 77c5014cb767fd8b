"""What nothing reaches and nobody touched, file by file, and why we think so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from repo_slim.advice.closure import Graph
from repo_slim.advice.globs import glob_of
from repo_slim.advice.tip import Python, Tip, name_of
from repo_slim.advice.touched import Touch, last_touched, time_of
from repo_slim.analyse import Analysis
from repo_slim.git import Git
from repo_slim.text import day, text_of

_MONTH = 30.44 * 86_400
_TOLD = 3
_SCRIPT = "nothing else starts or imports this script"


@dataclass(frozen=True, slots=True)
class Dead:
    """A file that looks dead: its bytes at the tip, the packed bytes of all versions that history has at its path, who changed it last,
    and the evidence, a sentence each. `drop`: a glob for it.
    """

    path: str
    size: int
    disk: int
    touch: Touch
    evidence: tuple[str, ...]
    drop: str


@dataclass(frozen=True, slots=True)
class Findings:
    """By number in `Tip.python`. `scripts`: what only it itself makes an entry point. `touches`: of all of these."""

    dead: frozenset[int]
    scripts: frozenset[int]
    touches: Mapping[int, Touch]
    now: int


def search(git: Git, analysis: Analysis, tip: Tip, graph: Graph, commit: str, months: int) -> Findings:
    """`months`: what changed in the last so many before the tip is in use, and so is all that it leads to."""
    now = time_of(git, commit)
    since = now - months * _MONTH
    young = {number for number, file in enumerate(tip.python) if _added(analysis, file) >= since}
    dead, scripts = _unreached(tip, graph, young)
    touched = last_touched(git, commit, {tip.python[number].path for number in dead | scripts})
    touches = {number: touched[path] for number, path in ((each, tip.python[each].path) for each in dead | scripts) if path in touched}
    young |= {number for number in dead | scripts if number not in touches or touches[number].time >= since}
    dead, scripts = _unreached(tip, graph, young)
    return Findings(frozenset(dead), frozenset(scripts), touches, now)


def _added(analysis: Analysis, file: Python) -> float:
    """When its content came into being: the file did not change before. Unknown is never old."""
    born = analysis.born.get(file.blob)
    return born.time if born else float("inf")


def _unreached(tip: Tip, graph: Graph, young: AbstractSet[int]) -> tuple[set[int], set[int]]:
    """Modules that no root leads to; and scripts which none but scripts lead to."""
    certain = {number for number, file in enumerate(tip.python) if file.kind not in (None, "script")} | young | graph.unknown.keys()
    scripts = {number for number, file in enumerate(tip.python) if file.kind == "script"}
    modules = {number for number, file in enumerate(tip.python) if file.path.endswith(".py")}
    return modules - graph.reached(certain | scripts), scripts - graph.reached(certain)


def told(analysis: Analysis, tip: Tip, graph: Graph, findings: Findings, numbers: Iterable[int], entry_points: str) -> tuple[Dead, ...]:
    """The largest first."""
    chosen = {number: tip.python[number] for number in numbers}
    disk = _disk_at(analysis, {file.path for file in chosen.values()})
    importers, namers = (_turned_round(edges, findings.dead | findings.scripts) for edges in (graph.imports, graph.names))
    found = []
    for number, file in chosen.items():
        imported = _SCRIPT if number in findings.scripts else f"no import, direct or through others, leads to it from {entry_points}"
        evidence = (
            imported + _but(tip, "is imported by", importers.get(number, [])),
            f"the name {text_of(name_of(file.path))} stands nowhere else" + _but(tip, "is named by", namers.get(number, [])),
            _untouched(findings, number),
        )
        size = analysis.size.get(file.blob, 0)
        found.append(Dead(text_of(file.path), size, disk[file.path], findings.touches[number], evidence, glob_of(file.path)))
    return tuple(sorted(found, key=lambda each: (-each.disk, each.path)))


def _turned_round(edges: Mapping[int, frozenset[int]], starts: AbstractSet[int]) -> dict[int, list[int]]:
    """What edges from `starts` lead to -> from where."""
    found: dict[int, list[int]] = {}
    for start in sorted(starts):
        for end in edges.get(start, ()):
            found.setdefault(end, []).append(start)
    return found


def _disk_at(analysis: Analysis, paths: AbstractSet[str]) -> dict[str, int]:
    wanted = {path.encode("utf-8", "surrogateescape"): path for path in paths}
    sums = dict.fromkeys(paths, 0)
    for blob, names in analysis.paths.items():
        for name in names:
            if name in wanted:
                sums[wanted[name]] += analysis.disk[blob]
    return sums


def _but(tip: Tip, how: str, numbers: list[int]) -> str:
    """`, but in old/a.py and 2 more of this list`."""
    if not numbers:
        return ""
    paths = sorted(text_of(tip.python[number].path) for number in numbers)
    more = f" and {len(paths) - _TOLD} more" if len(paths) > _TOLD else ""
    return f" (it {how} {', '.join(paths[:_TOLD])}{more}, which these lists have, too)"


def _untouched(findings: Findings, number: int) -> str:
    touch = findings.touches[number]
    months = round((findings.now - touch.time) / _MONTH)
    return f"unchanged for {months} months before the tip: since {day(touch.time)}, {touch.commit[:10]} by {text_of(touch.author)}"
