"""Every bench keeps these promises: the one that searches are tested with as well as the one that starts runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.bisect.hunt import Bench, Task
from builder.bisect.metric import Metric
from builder.cli import executing
from builder.cli.bisecting import Wanted, benched
from builder.cli.making import making
from builder.data.ledger import RUN, now
from builder.runs.prepare import Overrides
from builder.steps.config import about
from builder.steps.request import Request
from builder.steps.root import ledger_of
from tests.fixtures.bisecting import Pretended, Team

METRIC = Metric.parse("click<0.8")
SCORES = ("0.9", "0.9 0.7", "-", "no image", "0.6")


@dataclass(frozen=True)
class Told:
    """A bench, the commits of SCORES, oldest first, and another bench that sees the same runs."""

    bench: Bench
    shas: list[str]
    other: Bench
    started: list[str]
    """Runs that were really started."""


@pytest.fixture(params=["pretended", "runs"])
def told(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    if request.param == "pretended":
        shas = [f"c{number}" for number in range(len(SCORES))]
        bench = Pretended(lambda sha, number: _score(SCORES[shas.index(sha)], number))
        yield Told(bench, shas, bench, bench.started)
        return
    for name, value in {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path), "KUBECONFIG": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("builder.cli.bisecting.SOON", 0.01)
    team = Team(tmp_path / "team", *SCORES)
    team.takes = 0.2
    monkeypatch.setattr(executing, "execute", team.execute)
    wanted = Wanted("finetune", Overrides(), METRIC)
    with ExitStack() as stack:
        made = [_made(stack, team, wanted) for _ in range(2)]
        assert made[0][1].commits == tuple(reversed(team.shas))
        yield Told(made[0][0], team.shas, made[1][0], team.started)


def _made(stack: ExitStack, team: Team, wanted: Wanted) -> tuple[Bench, Task]:
    maker = stack.enter_context(making(team.directory))
    bench, task = benched(maker, wanted, team.shas[0], team.shas[-1], 1, 1, first_parent=False)
    assert all(bench.look(sha).is_unknown for sha in task.commits)
    return bench, task


def _score(text: str, number: int) -> float | str | None:
    return "no" if text == "no image" else None if text == "-" else float(text.split()[number])


def test_a_run_is_seen_from_its_start_to_its_end(told: Told) -> None:
    sha = told.shas[0]
    assert told.bench.look(sha).is_unknown
    told.bench.start(sha)
    (run,) = told.bench.look(sha).going
    told.bench.wait([run])
    found = told.bench.look(sha)
    assert (found.going, dict(found.values), dict(found.failed), found.barred) == ((), {run: 0.9}, {}, "")


def test_every_start_is_another_run(told: Told) -> None:
    sha = told.shas[1]
    told.bench.start(sha)
    told.bench.start(sha)
    runs = told.bench.look(sha).going
    assert len(set(runs)) == 2
    while going := told.bench.look(sha).going:
        told.bench.wait(going)
    assert sorted(told.bench.look(sha).values.values()) == [0.7, 0.9]
    assert set(told.bench.look(sha).values) == set(runs)


def test_a_run_that_fails_says_why(told: Told) -> None:
    sha = told.shas[2]
    told.bench.start(sha)
    (run,) = told.bench.look(sha).going
    told.bench.wait([run])
    found = told.bench.look(sha)
    assert (found.going, dict(found.values), list(found.failed)) == ((), {}, [run])
    assert found.why.startswith(run)


def test_a_run_that_died_before_it_began_has_failed(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else another one would be started, and another one."""
    if isinstance(told.bench, Pretended):
        monkeypatch.setattr(told.bench, "score", lambda sha, number: None)
    else:
        monkeypatch.setattr(executing, "execute", lambda maker, ready, cluster, wait: _die(told, ready.request))
    sha = told.shas[0]
    told.bench.start(sha)
    if going := told.bench.look(sha).going:
        told.bench.wait(going)
    assert len(told.bench.look(sha).failed) == 1


def _die(told: Told, request: Request) -> None:
    record = {**about(request), "commit": request.commit, "started": now(), "state": "failed", "ended": now(), "error": "no such program"}
    ledger_of(request).write(request.run, RUN, record)


def test_where_there_can_be_no_run_none_is_started(told: Told) -> None:
    sha = told.shas[3]
    told.bench.start(sha)
    found = told.bench.look(sha)
    assert (found.going, dict(found.values), dict(found.failed)) == ((), {}, {})
    assert (bool(found.barred), found.is_unknown, found.is_hopeless) == (True, False, True)


def test_who_comes_second_finds_the_run_of_who_came_first(told: Told) -> None:
    sha = told.shas[4]
    told.bench.start(sha)
    (run,) = told.bench.look(sha).going
    if told.other is not told.bench:
        assert told.other.look(sha).is_unknown, "it has read the ledger before"
        told.other.start(sha)
    assert told.other.look(sha).going == (run,)
    told.other.wait([run])
    assert dict(told.other.look(sha).values) == {run: 0.6}
    assert told.started == [run]
