"""Which Python of the default branch's tip looks dead. Advice with its evidence: nothing is ever chosen by it, and nothing is executed.

Dead is what no entry point leads to (through imports, or through a text that names it), that is named nowhere else, and that nobody has
touched for months. What cannot be parsed or may be loaded by name is unknown, never dead.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from repo_slim.advice.closure import Graph, graph
from repo_slim.advice.imports import read_imports
from repo_slim.advice.kinds import PLURAL, Kind
from repo_slim.advice.layout import Layout
from repo_slim.advice.search import Dead, search, told
from repo_slim.advice.tip import Tip, read_tip
from repo_slim.analyse import Analysis
from repo_slim.git import Git
from repo_slim.text import text_of

MONTHS = 12
__all__ = ["MONTHS", "Advice", "Dead", "advise", "points_text"]


@dataclass(frozen=True, slots=True)
class Advice:
    """Of the tip `commit`. `dead`: modules; `scripts`: files that nothing in the repository starts, though people may.

    `python`: how many Python files there are; `entry_points`: kind -> how many files; `unknown`: path -> why nothing can be said of it;
    `large`: how many files were too large to be looked into for names; `months`: how long a dead file was not touched at least.
    """

    commit: str
    months: int
    python: int
    entry_points: Mapping[Kind, int]
    dead: tuple[Dead, ...]
    scripts: tuple[Dead, ...]
    unknown: Mapping[str, str]
    large: int


def advise(git: Git, analysis: Analysis, months: int = MONTHS) -> Advice | None:
    """None where HEAD has no Python, or there is none."""
    commit = git.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if not commit:
        return None
    with tempfile.TemporaryDirectory(prefix="slim-advice-") as name:
        scratch = Path(name).resolve()
        tip = read_tip(git, commit, analysis.size, scratch)
        if not tip.python:
            return None
        layout = Layout(tip)
        found = graph(tip, layout, read_imports(tip, layout, scratch))
    return _advice(git, analysis, tip, found, commit, months)


def _advice(git: Git, analysis: Analysis, tip: Tip, found: Graph, commit: str, months: int) -> Advice:
    findings = search(git, analysis, tip, found, commit, months)
    counted = tip.texts + Counter(file.kind for file in tip.python if file.kind)
    points = {kind: counted[kind] for kind in PLURAL if counted[kind]}
    said = points_text(points)
    dead, scripts = (told(analysis, tip, found, findings, which, said) for which in (findings.dead, findings.scripts))
    unknown = {text_of(tip.python[number].path): why for number, why in sorted(found.unknown.items())}
    return Advice(commit, months, len(tip.python), points, dead, scripts, unknown, len(tip.large))


def points_text(points: Mapping[Kind, int]) -> str:
    """`12 scripts, 1 CI file`."""
    said = [f"{number:,} {PLURAL[kind] if number > 1 else PLURAL[kind].removesuffix('s')}" for kind, number in points.items()]
    return ", ".join(said) or "any entry point"
