"""Tests commits until one is left to blame. What runs, and where, is the bench's business."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from builder.bisect.evidence import Evidence, Opinion, opinion
from builder.bisect.metric import Metric
from builder.bisect.search import Graph, Step, Verdict, next_step, steps_left
from builder.errors import BuilderError


class Bench(Protocol):
    """Where commits are run."""

    def look(self, sha: str) -> Evidence:
        """What is known of the commit now."""

    def start(self, sha: str) -> None:
        """Starts one more run of the commit. `look` has it from now on, or says why there cannot be one."""

    def wait(self, runs: Sequence[str]) -> None:
        """Until one of these, which go on, may have ended. Raises KeyboardInterrupt."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked. `width`: how many commits are tested at once; `at_once`: how many runs go on at a time, any number when 0."""

    graph: Graph
    good: str
    metric: Metric
    repeat: int = 1
    width: int = 1
    at_once: int = 1

    @property
    def bad(self) -> str:
        return self.graph.commits[0]

    @property
    def commits(self) -> tuple[str, ...]:
        """All that may be tested, newest first."""
        return (*self.graph.commits, self.good)


@dataclass(frozen=True, slots=True)
class Found:
    """How far the search is: what is thought of each commit of which anything is known, and what is to be tested next."""

    opinions: Mapping[str, Opinion]
    step: Step

    @property
    def verdicts(self) -> dict[str, Verdict]:
        return {sha: known.verdict for sha, known in self.opinions.items() if known.verdict}


class EndError(BuilderError):
    """The good commit is not good, or the bad one not bad."""


class OverrunError(BuilderError):
    """So many commits could not be run that the search took more than it was said to."""


_LEAST_STEPS = 2
"""However few are left, a few may fail."""

Tell = Callable[[str, Opinion, Found], None]
"""Is told what a test of a commit came to, and how far the search is now."""


def hunt(task: Task, bench: Bench, tell: Tell) -> Found:
    """Tests the ends where they have to be, then what halves the suspects, until nothing is left to test.

    Raises EndError; OverrunError rather than testing more than twice as many commits as it should take, as many cannot be run.
    """
    found = survey(task, bench)
    check_ends(task, found)
    if ends := untested_ends(task, found):
        found = _test(task, bench, ends, tell)
    enough = 2 * task.width * max(_LEAST_STEPS, steps_left(len(found.step.suspects), task.width))
    while found.step.tests:
        if enough <= 0:
            raise _overrun(found)
        enough -= len(found.step.tests)
        found = _test(task, bench, found.step.tests, tell)
    return found


def _overrun(found: Found) -> OverrunError:
    skipped = sum(1 for sha in found.step.suspects if found.verdicts.get(sha) == "skip")
    text = f"twice as many tests as were foreseen, and {len(found.step.suspects)} commits are left: {skipped} of them were passed over"
    return OverrunError(text, "the same command goes on; --good and --bad nearer to each other, outside of what cannot be run, are cheaper")


def survey(task: Task, bench: Bench) -> Found:
    """What can be said now. An end of which nothing is known is believed for now."""
    tested = {sha: bench.look(sha) for sha in task.commits}
    opinions = {sha: opinion(task.metric, known, task.repeat) for sha, known in tested.items() if not known.is_unknown}
    verdicts: dict[str, Verdict] = {sha: known.verdict for sha, known in opinions.items() if known.verdict}
    return Found(opinions, next_step(task.graph, verdicts, task.width))


def untested_ends(task: Task, found: Found) -> list[str]:
    """Those that have to be tested: not where a commit between them is known to be what they are said to be."""
    return [sha for sha in (task.good, task.bad) if sha not in found.verdicts and not _is_believed(task, found, sha)]


def _is_believed(task: Task, found: Found, end: str) -> bool:
    head, suspects = found.step.head, len(found.step.suspects)
    return head != task.bad if end == task.bad else suspects < task.graph.below[head].bit_count()


def check_ends(task: Task, found: Found) -> None:
    """Raises EndError where an end is known to be otherwise than it was said to be."""
    for sha, said in ((task.good, "good"), (task.bad, "bad")):
        known = found.opinions.get(sha)
        if known is None or known.verdict in (None, said):
            continue
        if known.verdict == "skip" and _is_believed(task, found, sha):
            continue
        if known.verdict == "skip":
            raise EndError(f"whether {sha[:12]} is {said} cannot be told: {known.why}", f"name another commit with --{said}")
        text = f"{sha[:12]} is not {said}: its {task.metric.name} is {known.judgement.value:.4f}, and bad means {task.metric}"
        raise EndError(text, f"name another commit with --{said}, or {_other_threshold(task, found)}")


def _other_threshold(task: Task, found: Found) -> str:
    """One that lies between the two ends, where they differ in the right direction."""
    good, bad = (found.opinions[sha].judgement.value if sha in found.opinions else None for sha in (task.good, task.bad))
    if good is None or bad is None:
        return "another threshold with --metric"
    between = replace(task.metric, threshold=float(f"{(good + bad) / 2:.4g}"))
    if between.is_bad(good) or not between.is_bad(bad):
        return f"another metric: {task.metric.name} is {good:.4f} at {task.good[:7]}, and {bad:.4f} at {task.bad[:7]}"
    return f"a threshold between the two: --metric '{between}'"


def _test(task: Task, bench: Bench, commits: Sequence[str], tell: Tell) -> Found:
    """Until each of the commits has a verdict."""
    told: set[str] = set()
    while True:
        found = survey(task, bench)
        for sha in commits:
            if sha in found.verdicts and sha not in told:
                told.add(sha)
                tell(sha, found.opinions[sha], found)
        check_ends(task, found)
        going = _start(task, bench, [sha for sha in commits if sha not in found.verdicts])
        if len(told) == len(commits):
            return found
        if going:
            bench.wait(going)


def _start(task: Task, bench: Bench, commits: Sequence[str]) -> list[str]:
    """Starts what is missing, and no more than may go on at a time; the runs that go on."""
    going = [run for sha in commits for run in bench.look(sha).going]
    for sha in commits:
        while (known := opinion(task.metric, bench.look(sha), task.repeat)).missing > len(known.evidence.going):
            if task.at_once and len(going) >= task.at_once:
                return going
            bench.start(sha)
            going += [run for run in bench.look(sha).going if run not in going]
    return going


@dataclass(frozen=True, slots=True)
class Need:
    """How many runs are left at least and at most, where no commit is skipped and the history has no branches; and in how many rounds,
    one after the other, of how many runs at a time.
    """

    low: int
    high: int
    rounds: int


def need_of(task: Task, found: Found) -> Need:
    majority, suspects = task.repeat // 2 + 1, len(found.step.suspects)
    ends = untested_ends(task, found)
    values = [len(found.opinions[sha].evidence.values) if sha in found.opinions else 0 for sha in ends]
    missing = [found.opinions[sha].missing if sha in found.opinions else majority for sha in ends]
    steps = steps_left(suspects, task.width)
    tests = min(steps * task.width, suspects - 1)
    low, high = sum(missing) + tests * majority, sum(task.repeat - known for known in values) + tests * task.repeat
    return Need(low, high, _rounds(task, sum(missing)) + steps * _rounds(task, min(task.width, suspects - 1) * majority))


def _rounds(task: Task, runs: int) -> int:
    return -(-runs // task.at_once) if task.at_once else min(1, runs)
