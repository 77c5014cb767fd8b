"""Which runs go, and whose logs: worlds are made up, and what is needed is said here in other words than in the law."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from builder.collect.run_facts import Run
from builder.collect.run_law import World, rule_logs, rule_runs

steady = examples(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine takes its time

NOW, DAY = 1_714_600_000.0, 86400.0
NAMES = [f"run-{number}" for number in range(8)]

names = st.sampled_from(NAMES)
runs = st.builds(
    lambda name, age, ended, kin, kept, frozen, logs: Run(
        name, NOW - age, ended, "finetune", "a" * 40, frozenset(kin | kept) - {name}, frozenset(kept) - {name}, frozen, 10, logs, logs
    ),
    names,
    st.floats(0, 90 * DAY),
    st.sampled_from([True, True, True, False]),
    st.frozensets(names, max_size=2),
    st.frozensets(names, max_size=1),
    st.sampled_from([(), (), ("sha256:" + "c" * 64,)]),
    st.integers(0, 2),
)
worlds = st.builds(
    lambda found, days, green, needed: World(
        NOW, NOW - days * DAY, tuple(found), dict.fromkeys(green, "green"), dict.fromkeys(needed, "a job of it waits")
    ),
    st.lists(runs, max_size=8, unique_by=lambda run: run.name),
    st.sampled_from([2 / 24, 1, 30]),
    st.frozensets(names, max_size=1),
    st.frozensets(names, max_size=1),
)


def needed_by_itself(world: World, run: Run) -> bool:
    young = run.changed > world.since
    return not run.ended or young or bool(run.frozen) or run.name in world.green or run.name in world.needed


def reachable(world: World) -> set[str]:
    """Whatever a needed run reaches, in whichever direction: the slow way."""
    pairs = {(run.name, other) for run in world.runs for other in run.kin} | {(other, run.name) for run in world.runs for other in run.kin}
    found = {run.name for run in world.runs if needed_by_itself(world, run)}
    while True:
        more = {second for first, second in pairs if first in found} - found
        if not more:
            return found
        found |= more


@steady
@given(worlds)
def test_exactly_what_nothing_reaches_goes(world: World) -> None:
    rulings = rule_runs(world)
    assert sorted(ruling.run.name for ruling in rulings) == sorted(run.name for run in world.runs)
    kept = reachable(world)
    for ruling in rulings:
        assert ruling.goes == (ruling.run.name not in kept), ruling
        assert ruling.why
        assert bool(ruling.group) != ruling.goes


@steady
@given(worlds)
def test_after_it_there_is_nothing_to_do(world: World) -> None:
    left = tuple(ruling.run for ruling in rule_runs(world) if not ruling.goes)
    assert not any(ruling.goes for ruling in rule_runs(replace(world, runs=left)))


@steady
@given(worlds)
def test_no_log_goes_that_somebody_reads(world: World) -> None:
    going = {ruling.run.name for ruling in rule_logs(world) if ruling.goes}
    for run in world.runs:
        busy = not run.ended or run.changed > world.since
        assert not (busy and run.name in going)
        assert not (busy and going & run.kept), "a run that goes on with it shows them as its own"
        assert not (run.name in world.needed and run.name in going)
        if run.logs and not busy and run.name not in world.needed and not any(run.name in other.kept for other in world.runs):
            assert run.name in going


def test_why_a_run_stays() -> None:
    old = Run("run-1", NOW - 90 * DAY, True)
    world = World(NOW, NOW - 30 * DAY, (old,))
    (ruling,) = rule_runs(world)
    assert (ruling.goes, ruling.why) == (True, "ended, not touched for 90 d, and nothing needs it")
    child = replace(old, name="run-2", kin=frozenset({"run-1"}), frozen=("sha256:" + "c" * 64,))
    reasons = {
        "the ledger has no end of run-1": replace(world, runs=(replace(old, ended=False),)),
        "touched 24 h ago": replace(world, runs=(replace(old, changed=NOW - DAY),)),
        "it made checkpoint cccccccccccc, which is frozen": replace(world, runs=(replace(old, frozen=child.frozen),)),
        "it belongs to run-2, which stays": replace(world, runs=(old, child)),
        "run-1 is one of the last 3 green runs of finetune": replace(
            world, green={"run-1": "run-1 is one of the last 3 green runs of finetune"}
        ),
        "job 7 of run-1 waits in Slurm": replace(world, needed={"run-1": "job 7 of run-1 waits in Slurm"}),
    }
    for why, changed in reasons.items():
        assert [(ruling.goes, ruling.why) for ruling in rule_runs(changed) if ruling.run.name == "run-1"] == [(False, why)]
