"""A day of pushes, and many nodes that pull one image at once. The seed is fixed: two runs give the same."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from constants import DAY, HOUR, constant

WORKING = (9 * HOUR, 19 * HOUR)
IN_HOURS = 0.9
"""So many of a day's pushes come in the hours of WORKING."""
_SEED = 7
_SIZES = (1, 1, 1, 1, 2, 2, 3, 4, 8)


@dataclass(frozen=True, slots=True)
class Team:
    """`commits` a day, of `people`; `images` in the repository; `nodes` that pull at once; `runs` of one person a day."""

    commits: int = 1000
    people: int = 200
    images: int = 100_000
    nodes: int = 300
    runs: float = 2
    looks: int = 20


def _chance() -> random.Random:
    return random.Random(_SEED)  # noqa: S311 - nothing secret


# --- a day of pushes ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load:
    """Per second, at most and on the whole day's average: requests, and puts of a manifest under a tag."""

    peak: int
    mean: float
    puts: int


def pushes(team: Team, chance: random.Random) -> Iterator[tuple[float, int]]:
    """When, and how many commits: one to eight, as people push. Until the day has its commits."""
    left = team.commits
    while left > 0:
        size = min(left, chance.choice(_SIZES))
        left -= size
        yield (chance.uniform(*WORKING) if chance.random() < IN_HOURS else chance.uniform(0, DAY)), size


def day_of_pushes(team: Team) -> Load:
    """Each push is a job that makes its commits one after the other; jobs do not wait for each other."""
    chance, asked, put = _chance(), Counter[int](), Counter[int]()
    for began, size in pushes(team, chance):
        for at, requests in _requests(began, size):
            asked[int(at)] += requests
            put[int(at)] += 2
    return Load(max(asked.values()), sum(asked.values()) / DAY, max(put.values()))


def _requests(began: float, size: int) -> Iterator[tuple[float, int]]:
    yield began, int(constant("requests a commit"))
    for number in range(1, size):
        yield began + constant("seconds a commit") + number * constant("seconds in a row"), int(constant("requests in a row"))


# --- nodes that pull ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pull:
    """What each node lacks: so many layers, so many bytes."""

    name: str
    layers: int
    size: float


@dataclass(frozen=True, slots=True)
class Pulled:
    """When half the nodes and all of them have the image, in seconds; the bytes that the registry sent, and its busiest second."""

    half: float
    all: float
    sent: float
    peak: int


def pull(team: Team, what: Pull) -> Pulled:
    """The nodes start within some seconds and share the registry's link evenly; each takes no more than it can unpack."""
    chance = _chance()
    starts = sorted(chance.uniform(0, constant("seconds of start")) for _ in range(team.nodes))
    ends = share(starts, what.size, min(constant("unpack"), constant("node link")), constant("registry link"))
    asked = Counter[int]()
    for start, end in zip(starts, ends, strict=True):
        asked[int(start)] += 2  # manifest and config
        for number in range(what.layers):
            asked[int(start + (end - start) * number / what.layers)] += 1
    done = sorted(ends)
    return Pulled(done[len(done) // 2], done[-1], team.nodes * what.size, max(asked.values()))


def share(starts: Sequence[float], size: float, most: float, link: float) -> list[float]:
    """When each download of `size` ends, of those that begin at `starts` (sorted): all that go on share `link` evenly, each at most `most`.

    All that go on get the same, so one number says how much whoever is there from the beginning has got.
    """
    now = given = 0.0
    going: list[tuple[float, int]] = []
    ends = [0.0] * len(starts)
    coming = list(enumerate(starts))[::-1]
    while coming or going:
        rate = min(most, link / len(going)) if going else 0.0
        next_end = now + (going[0][0] - given) / rate if going else float("inf")
        next_start = coming[-1][1] if coming else float("inf")
        at = min(next_end, next_start)
        given, now = given + rate * (at - now), at
        if next_start <= next_end:
            heapq.heappush(going, (given + size, coming.pop()[0]))
        else:
            ends[heapq.heappop(going)[1]] = now
    return ends
