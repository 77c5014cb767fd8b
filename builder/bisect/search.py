"""The search: what is known of commits in, which to test next out. Nothing is read, and nothing run.

`git bisect` has the same law, but keeps its state in the user's repository and checks commits out in the user's tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["good", "bad", "skip"]
"""What a test of a commit told; `skip`: nothing, as it cannot be run, or its runs contradict each other."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The bad commit, and its ancestors that are not the good one's: one of them is to blame.

    `commits` begins with the bad one, and has every commit before its parents; `below` is each commit with its ancestors, as a number
    whose bit i stands for the i-th commit.
    """

    commits: tuple[str, ...]
    below: Mapping[str, int]

    @classmethod
    def of(cls, parents: Mapping[str, tuple[str, ...]]) -> Graph:
        """`parents` has every commit before its own parents, the bad one first. Parents that are no key are known to be good."""
        commits, below = tuple(parents), dict[str, int]()
        for index in reversed(range(len(commits))):
            own = 1 << index
            for parent in parents[commits[index]]:
                own |= below.get(parent, 0)
            below[commits[index]] = own
        return cls(commits, below)

    def members(self, bits: int) -> Iterator[str]:
        """The commits of a set, in their order."""
        while bits:
            lowest = bits & -bits
            yield self.commits[lowest.bit_length() - 1]
            bits ^= lowest


@dataclass(frozen=True, slots=True)
class Step:
    """`head` is the oldest commit known to be bad; `suspects` are it and all that may be to blame in its place, newest first. `tests`
    are to be tested next; with none the search is over, and several suspects are left only where all but `head` were skipped.
    """

    head: str
    suspects: tuple[str, ...]
    tests: tuple[str, ...]


def next_step(graph: Graph, verdicts: Mapping[str, Verdict], width: int = 1) -> Step:
    """At most `width` commits to test at once. They divide the suspects in parts as equal as can be, whatever comes of each."""
    head, left = narrowed(graph, verdicts)
    suspects = tuple(graph.members(left))
    tests: list[str] = []
    for part in range(1, width + 1):
        chosen = _most_telling(graph, verdicts, left, part / (width + 1), width, (head, *tests))
        tests += [chosen] if chosen else []
    return Step(head, suspects, tuple(tests))


def narrowed(graph: Graph, verdicts: Mapping[str, Verdict]) -> tuple[str, int]:
    """The oldest commit known to be bad, and the set of suspects. Of verdicts that contradict each other the one that tells most wins."""
    head = graph.commits[0]
    left = graph.below[head]
    while telling := [sha for sha in graph.members(left) if sha != head and verdicts.get(sha) in ("good", "bad")]:
        half = left.bit_count() / 2
        sha = min(telling, key=lambda sha: abs((graph.below[sha] & left).bit_count() - half))
        if verdicts[sha] == "bad":
            head, left = sha, left & graph.below[sha]
        else:
            left &= ~graph.below[sha]
    return head, left


def contradictions(graph: Graph, verdicts: Mapping[str, Verdict]) -> list[tuple[str, str]]:
    """A bad commit with a good one that comes after it: noise, or more than one change."""
    bad = [sha for sha in graph.commits if verdicts.get(sha) == "bad"]
    good = [sha for sha in graph.commits if verdicts.get(sha) == "good"]
    places = {sha: index for index, sha in enumerate(graph.commits)}
    return [(old, new) for old in bad for new in good if graph.below[new] >> places[old] & 1]


def steps_left(suspects: int, width: int = 1) -> int:
    """After how many steps one of so many is left, on a history without branches: each step leaves one part of `width` + 1."""
    steps = 0
    while suspects > 1:
        suspects, steps = -(-suspects // (width + 1)), steps + 1
    return steps


def _most_telling(graph: Graph, verdicts: Mapping[str, Verdict], left: int, part: float, width: int, taken: tuple[str, ...]) -> str:
    """Of the commits that are not tested yet the one that comes nearest to having this part of the suspects at and below it; empty when
    there is none.

    Neighbours of a commit that cannot be run mostly cannot either, so that farther ones may tell more: what a commit would tell is
    weighed with the chance that it tells anything, which grows with its distance from those that were skipped, and sinks with their
    number.
    """
    sizes = {sha: (graph.below[sha] & left).bit_count() for sha in graph.members(left)}
    skipped = [sizes[sha] for sha in sizes if verdicts.get(sha) == "skip"]
    untested = [sha for sha in sizes if sha not in verdicts and sha not in taken]

    def worth(sha: str) -> float:
        off = abs(sizes[sha] - part * len(sizes))
        gain = max(len(sizes) / (width + 1) - off, 1 / (2 + off))
        near = min((abs(sizes[sha] - size) for size in skipped), default=0) + 1
        return gain * near / (near + len(skipped))

    return max(untested, key=worth, default="")
