"""How the history grew: packed bytes over time, and the commits that added most."""

from __future__ import annotations

import heapq
import os
from dataclasses import dataclass

from repo_slim.analyse import Analysis
from repo_slim.git import Git
from repo_slim.report.clones import LIMIT
from repo_slim.text import text_of

POINTS = 240
COMMITS = 50


@dataclass(frozen=True, slots=True)
class Point:
    """Until then (seconds since 1970): packed bytes of all file versions, and of those that are smaller than 1 MiB."""

    time: int
    disk: int
    small: int


@dataclass(frozen=True, slots=True)
class Jump:
    """A commit and what it added: file versions and their packed bytes."""

    commit: str
    time: int
    author: str
    subject: str
    versions: int
    disk: int


@dataclass(frozen=True, slots=True)
class Growth:
    """At most `POINTS` points with the same time between them, and the `COMMITS` commits that added most."""

    points: tuple[Point, ...]
    jumps: tuple[Jump, ...]


def growth(git: Git, analysis: Analysis) -> Growth:
    return Growth(_points(analysis), _jumps(git, analysis))


def _points(analysis: Analysis) -> tuple[Point, ...]:
    added = sorted((born.time, analysis.disk[blob], analysis.size[blob] < LIMIT) for blob, born in analysis.born.items())
    if not added:
        return ()
    first, last = _span([time for time, _, _ in added])
    steps = POINTS if last > first else 1
    ends = [last - (last - first) * (steps - 1 - number) // max(1, steps - 1) for number in range(steps)]
    points, total, small, place = [], 0, 0, 0
    for end in ends:
        while place < len(added) and (added[place][0] <= end or end == last):  # what claims to be of the year 2200 is there today, too
            total += added[place][1]
            small += added[place][1] * added[place][2]
            place += 1
        points.append(Point(end, total, small))
    return tuple(points)


def _span(times: list[int]) -> tuple[int, int]:
    """From when to when to tell: a few commits with a wrong clock do not make a line of all others."""
    cut = len(times) // 200
    return times[cut], times[-1 - cut]


def _jumps(git: Git, analysis: Analysis) -> tuple[Jump, ...]:
    sums: dict[str, list[int]] = {}
    for blob, born in analysis.born.items():
        counted = sums.setdefault(born.commit, [0, 0, born.time])
        counted[0] += analysis.disk[blob]
        counted[1] += 1
    largest = heapq.nlargest(COMMITS, sums.items(), key=lambda item: (item[1][0], item[0]))
    told = told_of(git, [commit for commit, _ in largest])
    return tuple(Jump(commit, time, *told[commit], versions, disk) for commit, (disk, versions, time) in largest)


def told_of(git: Git, commits: list[str]) -> dict[str, tuple[str, str]]:
    """Commit -> its author's address and the first line of its message."""
    if not commits:
        return {}
    asked = "".join(f"{commit}\n" for commit in commits).encode()
    shown = os.fsdecode(git.run("log", "--no-walk=unsorted", "--stdin", "--no-show-signature", "-z", "--format=%H%n%ae%n%s", stdin=asked))
    lines = (entry.split("\n", 2) for entry in shown.split("\0") if entry)
    return {commit: (text_of(author), text_of(subject)) for commit, author, subject in lines}
