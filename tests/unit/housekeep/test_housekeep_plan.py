"""What goes: only what nothing needs. Worlds are made up, and what is needed is said here in other words than in the plan."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from builder.housekeep.plan import plan
from builder.housekeep.things import JOBS, LAYERS, ON_SLURM, TEMPLATE, WORKFLOW, Jobs, Thing, World
from builder.settings import HousekeepSettings, seconds

steady = examples(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine takes its time

NOW, DAY = 1_714_600_000.0, 86400.0
SLURM, TEAM = "bastion:/shared", "team"
RUNS, COMMITS = [f"run-{number}" for number in range(4)], ["a" * 40, "b" * 40, "c" * 40]

ages = st.one_of(st.floats(0, 3 * 3600), st.floats(0, 90 * DAY))
on_slurm = st.builds(
    lambda kind, name, age, linked, leftover: Thing(
        kind, SLURM, name, NOW - age, "1", name if kind == JOBS else "", linked=linked and kind in LAYERS, leftover=leftover
    ),
    st.sampled_from(ON_SLURM),
    st.sampled_from(RUNS),
    ages,
    st.booleans(),
    st.booleans(),
)
in_argo = st.builds(
    lambda kind, name, age, commit: Thing(kind, TEAM, name, NOW - age, "1", name if kind == WORKFLOW else "", commit),
    st.sampled_from([WORKFLOW, TEMPLATE]),
    st.sampled_from(RUNS),
    ages,
    st.sampled_from(COMMITS),
)
durations = st.sampled_from(["0s", "1h", "1d", "14d", "60d"])
limits = st.builds(HousekeepSettings, durations, durations, durations, durations, durations)
worlds = st.builds(
    lambda things, open_runs, commits, templates, jobs, oldest, unseen: World(
        {SLURM: NOW, TEAM: NOW},
        tuple(things),
        open_runs,
        dict.fromkeys(commits, "a schedule starts it"),
        dict.fromkeys(templates, "a run goes on"),
        {SLURM: Jobs(jobs, NOW - oldest if jobs else None)},
        dict.fromkeys(unseen, "no answer"),
    ),
    st.lists(st.one_of(on_slurm, in_argo), max_size=12),
    st.frozensets(st.sampled_from(RUNS)),
    st.frozensets(st.sampled_from(COMMITS)),
    st.frozensets(st.sampled_from(RUNS)),
    st.frozensets(st.sampled_from(RUNS)),
    st.floats(0, 60 * DAY),
    st.frozensets(st.sampled_from([SLURM, TEAM]), max_size=1),
)


def living(world: World, thing: Thing) -> bool:
    """Whether somebody may need it."""
    run = thing.name
    return (
        thing.place in world.unseen
        or (thing.kind in (WORKFLOW, JOBS) and run in world.open_runs)
        or (thing.kind == JOBS and run in world.jobs[SLURM].runs)
        or (thing.kind == TEMPLATE and (thing.commit in world.commits or thing.name in world.templates))
        or thing.linked
        or NOW - thing.used < 3600
    )


@steady
@given(worlds, limits)
def test_nothing_living_ever_goes(world: World, settings: HousekeepSettings) -> None:
    verdicts = plan(world, settings)
    assert len(verdicts) == len(world.things)
    for verdict in verdicts:
        if verdict.goes:
            assert not living(world, verdict.thing), verdict
            assert NOW - verdict.thing.used >= seconds(getattr(settings, verdict.thing.kind.setting)) or verdict.thing.leftover


@steady
@given(worlds, limits)
def test_what_a_job_may_use_stays(world: World, settings: HousekeepSettings) -> None:
    """Whatever was used since a job came into the queue, by whomever: jobs need not be in this ledger."""
    oldest = world.jobs[SLURM].oldest
    for verdict in plan(world, settings):
        thing = verdict.thing
        if oldest is not None and thing.kind not in (JOBS, WORKFLOW, TEMPLATE) and thing.used >= oldest and not thing.leftover:
            assert not verdict.goes, verdict


@steady
@given(worlds, limits)
def test_what_nothing_needs_goes_and_why_is_said(world: World, settings: HousekeepSettings) -> None:
    bare = replace(world, open_runs=frozenset(), commits={}, templates={}, jobs={}, unseen={})
    for verdict in plan(bare, settings):
        old = NOW - verdict.thing.used >= max(
            3600, DAY if verdict.thing.leftover else seconds(getattr(settings, verdict.thing.kind.setting))
        )
        assert verdict.goes == (old and not verdict.thing.linked)
        assert verdict.why


@steady
@given(worlds, limits)
def test_after_it_there_is_nothing_to_do(world: World, settings: HousekeepSettings) -> None:
    left = tuple(verdict.thing for verdict in plan(world, settings) if not verdict.goes)
    assert not any(verdict.goes for verdict in plan(replace(world, things=left), settings))


def test_who_needs_a_template() -> None:
    old = Thing(TEMPLATE, TEAM, "finetune-aaaaaaaaaaaa-00000000", NOW - 90 * DAY, "1", commit="a" * 40)
    world = World({TEAM: NOW}, (old,))
    (verdict,) = plan(world, HousekeepSettings())
    assert (verdict.goes, verdict.why) == (True, "not used for 90 d, and nothing needs it")
    for needed in (replace(world, commits={"a" * 40: "schedule nightly starts it"}), replace(world, templates={old.name: "run-1 goes on"})):
        (verdict,) = plan(needed, HousekeepSettings())
        assert not verdict.goes
        assert verdict.why in ("schedule nightly starts it", "run-1 goes on")


def goes(thing: Thing, world: World) -> tuple[bool, str]:
    (verdict,) = plan(replace(world, now={SLURM: NOW}, things=(thing,)), replace(HousekeepSettings(), code="0s", jobs="0s", images="0s"))
    return verdict.goes, verdict.why


def test_who_needs_what_lies_on_slurms_side() -> None:
    """A job that waits for a month keeps what was used in it, and a day before, as whoever submitted it marked that."""
    month = World({}, jobs={SLURM: Jobs(frozenset({"run-1"}), NOW - 30 * DAY)})
    for kind in ON_SLURM:
        thing = Thing(kind, SLURM, "run-1", NOW - 30 * DAY - 3600, "1", "run-1" if kind == JOBS else "")
        assert not goes(thing, month)[0], kind
        assert goes(replace(thing, used=NOW - 32 * DAY), month)[0] == (kind != JOBS)
        assert goes(thing, World({}))[0]
        assert not goes(thing, World({}, unseen={SLURM: "no answer"}))[0]
        assert not goes(replace(thing, linked=True), World({}))[0]
    files = Thing(JOBS, SLURM, "run-1", NOW - 40 * DAY, "1", "run-1")
    assert goes(files, month) == (False, "a job of run-1 is in the queue")
    assert goes(files, World({}, open_runs=frozenset({"run-1"}))) == (False, "the ledger has no end of run-1")
