"""A search from end to end, over runs that are pretended: it goes on where it was, passes over what fails, and starts no run too many."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.bisect.evidence import Opinion
from builder.bisect.hunt import Bench, EndError, Found, OverrunError, Task, hunt, need_of, survey
from builder.bisect.metric import Metric
from builder.bisect.search import Graph
from tests.fixtures.bisecting import Pretended

METRIC = Metric.parse("click<0.8")


def line(count: int) -> Graph:
    return Graph.of({f"c{number}": (f"c{number - 1}" if number else "good",) for number in reversed(range(count))})


def number(sha: str) -> int:
    return -1 if sha == "good" else int(sha[1:])


def plain(blame: int) -> Callable[[str, int], float]:
    return lambda sha, _: 0.6 if number(sha) >= blame else 0.9


def search(task: Task, bench: Bench) -> tuple[Found, list[str]]:
    told: list[str] = []

    def tell(sha: str, known: Opinion, _: Found) -> None:
        assert known.verdict is not None
        told.append(f"{sha} {known.verdict}")

    return hunt(task, bench, tell), told


def test_the_ends_first_then_halves() -> None:
    bench = Pretended(plain(5))
    found, told = search(Task(line(8), "good", METRIC), bench)
    assert (found.step.suspects, found.step.tests) == (("c5",), ())
    assert told == ["good good", "c7 bad", "c3 good", "c5 bad", "c4 good"]
    assert (len(bench.started), bench.most) == (5, 1)


@given(st.integers(1, 40), st.data(), st.sampled_from([1, 3, 5]), st.integers(1, 3), st.integers(0, 4))
@settings(max_examples=150, deadline=None)
def test_it_never_takes_more_runs_than_it_said(count: int, data: st.DataObject, repeat: int, width: int, at_once: int) -> None:
    blame = data.draw(st.integers(0, count - 1))
    bench, task = Pretended(plain(blame)), Task(line(count), "good", METRIC, repeat, width, at_once)
    for sha in data.draw(st.sets(st.sampled_from(task.commits))):  # there are nightlies of some
        bench.values[sha] = {f"nightly-{n}": plain(blame)(sha, n) for n in range(data.draw(st.integers(1, repeat)))}
    need = need_of(task, survey(task, bench))
    found, _ = search(task, bench)
    assert found.step.suspects == (f"c{blame}",)
    assert len(bench.started) <= need.low <= need.high, "nothing failed, and runs of one commit agreed"
    assert not at_once or bench.most <= at_once
    assert need_of(task, found).high == 0
    again, told = search(task, bench)
    assert (again.step, told) == (found.step, []), "all is known: nothing is run twice"


@given(st.integers(2, 30), st.data(), st.integers(0, 12))
@settings(max_examples=150, deadline=None)
def test_interrupted_anywhere_it_goes_on_where_it_was(count: int, data: st.DataObject, patience: int) -> None:
    blame = data.draw(st.integers(0, count - 1))
    task = Task(line(count), "good", METRIC, repeat=3, at_once=2)
    whole = Pretended(plain(blame))
    search(task, whole)
    bench = Pretended(plain(blame), patience=patience)
    try:
        search(task, bench)
    except KeyboardInterrupt:
        bench.patience = 10_000
        found, _ = search(task, bench)
        assert found.step.suspects == (f"c{blame}",)
    assert sorted(bench.started) == sorted(whole.started)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_noise_is_outvoted_or_said(data: st.DataObject) -> None:
    """Each run may be on the wrong side: the verdict of each commit is that of most of its runs, and fits the end."""
    noise = {(sha, n): data.draw(st.booleans()) for sha in ("good", *line(12).commits) for n in range(3)}
    bench = Pretended(lambda sha, n: 0.6 if (number(sha) >= 6) != noise[sha, n] else 0.9)
    task = Task(line(12), "good", METRIC, repeat=3)
    try:
        found, _ = search(task, bench)
    except EndError:
        assert any(sum(noise[sha, n] for n in range(3)) > 1 for sha in ("good", "c11"))
        return
    for sha, verdict in found.verdicts.items():
        wrong = sum(noise[sha, n] for n in range(3)) > 1
        assert (verdict == "bad") == ((number(sha) >= 6) != wrong)
    if not any(sum(noise[sha, n] for n in range(3)) > 1 for sha in found.verdicts):
        assert found.step.suspects == ("c6",)


def test_what_cannot_be_run_is_passed_over_and_its_neighbours_are_tried() -> None:
    broken: dict[str, float | str | None] = {"c3": None, "c4": "no"}
    bench = Pretended(lambda sha, n: broken.get(sha, plain(6)(sha, n)))
    found, told = search(Task(line(8), "good", METRIC), bench)
    assert found.step.suspects == ("c6",)
    assert "c3 skip" in told
    assert {run: why for known in bench.failed.values() for run, why in known.items()} == {"c3-0": "c3-0: it fell over"}


def test_several_are_left_where_those_between_cannot_be_run() -> None:
    bench = Pretended(lambda sha, n: None if sha in ("c4", "c5") else plain(5)(sha, n))
    found, _ = search(Task(line(8), "good", METRIC), bench)
    assert found.step.suspects == ("c6", "c5", "c4")
    assert found.opinions["c4"].why == "c4-0: it fell over"


def test_a_failure_among_several_runs_is_tried_again_but_not_for_ever() -> None:
    bench = Pretended(lambda sha, n: None if n == 0 else plain(2)(sha, n))
    with pytest.raises(EndError, match="whether good is good cannot be told: good-0: it fell over"):
        search(Task(line(4), "good", METRIC, repeat=3), bench)
    assert bench.started == ["good-0"]
    bench = Pretended(lambda sha, n: None if n == 1 else plain(2)(sha, n))
    found, _ = search(Task(line(4), "good", METRIC, repeat=3), bench)
    assert found.step.suspects == ("c2",)
    assert [run for run in bench.started if run.startswith("good")] == ["good-0", "good-1", "good-2"]


def test_as_many_good_as_bad_is_no_verdict() -> None:
    bench = Pretended(lambda sha, n: 0.6 if sha == "c3" and n else plain(4)(sha, n))
    found, _ = search(Task(line(8), "good", METRIC, repeat=2), bench)
    assert found.opinions["c3"].why == "as many of its runs are good as bad"
    assert found.step.suspects == ("c4", "c3")


def test_ends_that_are_not_what_they_were_said_to_be() -> None:
    bench = Pretended(plain(-1))
    with pytest.raises(EndError, match=r"good is not good: its click is 0\.6000, and bad means click<0\.8"):
        search(Task(line(8), "good", METRIC), bench)
    assert len(bench.started) == 1, "the other end is not even run"
    with pytest.raises(EndError, match=r"c7 is not bad: its click is 0\.9000") as refused:
        search(Task(line(8), "good", METRIC), Pretended(plain(99)))
    assert refused.value.hint == "name another commit with --bad, or another metric: click is 0.9000 at good, and 0.9000 at c7"
    wrong = Task(line(8), "good", Metric.parse("click<0.3"))
    with pytest.raises(EndError) as refused:
        search(wrong, Pretended(plain(3)))
    assert refused.value.hint.endswith("or a threshold between the two: --metric 'click<0.75'")


def test_an_end_that_cannot_be_run_is_no_matter_where_one_beside_it_is_known() -> None:
    bench = Pretended(lambda sha, n: None if sha in ("good", "c7") else plain(4)(sha, n), failed={"c7": {"x": "x: it fell over"}})
    task = Task(line(8), "good", METRIC)
    with pytest.raises(EndError, match="whether c7 is bad cannot be told: x: it fell over"):
        search(task, bench)
    bench.values |= {"c6": {"nightly": 0.6}, "c1": {"nightly": 0.9}}
    found, _ = search(task, bench)
    assert found.step.suspects == ("c4",)
    assert not any(run.startswith("good") for run in bench.started)


def test_a_search_that_takes_twice_what_it_said_stops() -> None:
    bench = Pretended(lambda sha, n: None if 1 < number(sha) < 62 else plain(30)(sha, n))
    task = Task(line(64), "good", METRIC)
    with pytest.raises(OverrunError, match="12 of them were passed over") as refused:
        search(task, bench)
    assert "the same command goes on" in refused.value.hint
    assert len(bench.started) == 2 + 12


def test_a_good_commit_after_a_bad_one_does_not_stop_it() -> None:
    bench = Pretended(lambda sha, n: 0.9 if sha == "c6" else plain(3)(sha, n), values={"c6": {"nightly": 0.9}})
    found, _ = search(Task(line(8), "good", METRIC), bench)
    assert found.step.suspects == ("c7",)


def test_scores_that_are_known_are_not_measured_again() -> None:
    bench = Pretended(plain(3), values={"c6": {"nightly": 0.6}, "c1": {"a": 0.9, "b": 0.9}})
    task = Task(line(8), "good", METRIC)
    need = need_of(task, survey(task, bench))
    found, _ = search(task, bench)
    assert (found.step.suspects, found.step.head) == (("c3",), "c3")
    assert (need.low, need.high, need.rounds) == (3, 3, 3), "five commits from c2 to c6 are left, and the ends need no test of their own"
    assert len(bench.started) <= need.high
    assert not any(run.startswith(("c6-", "c1-")) for run in bench.started)
