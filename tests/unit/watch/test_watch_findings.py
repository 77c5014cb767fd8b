"""From facts to findings and cures, with hostile names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from builder.launch.slurm.survey import Listed, parse_rows
from builder.settings import WatchSettings
from builder.watch.facts import ARGO, Run, Schedule, Workflow, World
from builder.watch.findings import CANCEL, END, KINDS, cures, findings
from builder.watch.news import news
from builder.watch.wording import digest

steady = examples(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine takes its time

NOW = 1_714_600_000.0  # 2024-05-01T21:46:40Z
HOUR = 3600.0
LIMITS = WatchSettings()
JOB = Listed("7", "run-1.finetune-a1", "RUNNING", NOW - 2 * HOUR, NOW - HOUR, 8, "ada", nodes="n1", run="run-1", step="finetune", attempt=1)
RUN = Run("run-1", "finetune", "argo", "running", "running", True, NOW - 2 * HOUR, NOW - HOUR)
NIGHTLY = Schedule("nightly", "0 2 * * *", "UTC", NOW - 90 * HOUR, last=NOW - 71_200)


def world(**more: Any) -> World:
    return replace(World(NOW, {"cluster": (JOB,)}, runs=(RUN,)), **more)


def told(seen: World, limits: WatchSettings = LIMITS) -> dict[str, str]:
    return {finding.key: finding.text for finding in findings(seen, limits)}


def test_all_is_well() -> None:
    assert told(world(schedules=(NIGHTLY,), planned=("nightly",))) == {}
    assert cures(world(), LIMITS) == ()


def test_a_job_without_a_living_run() -> None:
    assert told(world(runs=())) == {"orphan:run-1.finetune-a1": "running without a living run: the ledger has no such run"}
    over = replace(RUN, state="failed", written="failed", is_open=False, ended=NOW - HOUR)
    assert told(world(runs=(over,))) == {"orphan:run-1.finetune-a1": "running without a living run: run-1 is failed"}
    assert told(world(runs=(replace(over, ended=NOW - 60),))) == {}, "whoever cancels it may be about to"
    assert told(world(runs=(), jobs={"cluster": (replace(JOB, submitted=NOW - 60),)})) == {}
    assert told(world(runs=(), jobs={"cluster": (replace(JOB, mine=False),)})) == {}, "it may be in somebody else's ledger"
    assert told(world(runs=(over,), jobs={"cluster": (replace(JOB, mine=False),)})) != {}


def test_only_what_law_says_is_cancelled() -> None:
    failed = replace(RUN, state="failed", written="failed", is_open=False, ended=NOW - HOUR)
    assert cures(world(runs=(failed,)), LIMITS) == (), "on this machine somebody may still look at it"
    assert cures(world(runs=()), LIMITS) == (), "another team's, perhaps"
    (cure,) = cures(world(runs=(replace(failed, handled=True),)), LIMITS)
    assert (cure.kind, cure.run, cure.bastion) == (CANCEL, "run-1", "cluster")
    assert told(world(runs=(replace(failed, handled=True),))) == {}, "it is told as cancelled"
    assert cures(world(runs=(replace(failed, handled=True, ended=NOW - 60),)), LIMITS) == ()
    good = replace(failed, state="succeeded", written="succeeded", handled=True)
    assert cures(world(runs=(good,)), LIMITS) == ()
    stopping = replace(RUN, stop="bob", stop_at=NOW - HOUR)
    (cure,) = cures(world(runs=(stopping,)), LIMITS)
    assert (cure.kind, cure.why) == (CANCEL, "bob asked for its end")
    assert cures(world(runs=(replace(stopping, stop_at=NOW - 60),)), LIMITS) == ()


def test_gpus_that_nobody_uses() -> None:
    quiet = replace(JOB, quiet_since=NOW - HOUR)
    assert told(world(jobs={"cluster": (quiet,)})) == {"silent:run-1.finetune-a1": "holds 8 GPUs on n1, and its log got no line for 1 h"}
    assert told(world(jobs={"cluster": (replace(quiet, gpus=0),)})) == {}
    assert told(world(jobs={"cluster": (replace(quiet, quiet_since=NOW - 60),)})) == {}


def test_what_takes_longer_than_usual() -> None:
    assert told(world(usual={"finetune/finetune": 900.0, "finetune@argo": HOUR})) == {
        "long:run-1.finetune-a1": "goes on for 1 h, usually it takes 15 min"
    }
    assert told(world(usual={"finetune@argo": 900.0}), replace(LIMITS, limit="2h")) == {
        "long:run-1": "goes on for 1 h, usually it takes 15 min"
    }
    assert set(told(world(), replace(LIMITS, limit="30m"))) == {"long:run-1", "long:run-1.finetune-a1"}, "nobody knows what is usual"
    quick = world(jobs={}, runs=(replace(RUN, working=NOW - 300),), usual={"finetune@argo": 2.0})
    assert told(quick) == {}, "minutes are nothing to tell"


def test_what_waits() -> None:
    job = replace(JOB, state="PENDING", submitted=NOW - 3 * HOUR, starts=NOW + HOUR, reason="Resources", nodes="")
    run = replace(RUN, state="waiting", detail="for the queue of finetune (2 of 2 running)", started=NOW - 4 * HOUR, working=None)
    assert told(world(jobs={"cluster": (job,)}, runs=(run,))) == {
        "pending:run-1.finetune-a1": "waits for 3 h: Resources, starts in about 1 h",
        "pending:run-1": "is waiting for 4 h for the queue of finetune (2 of 2 running)",
    }


def test_a_run_whose_job_is_gone_after_a_while() -> None:
    lonely = world(jobs={"cluster": ()}, runs=(replace(RUN, slurm={"finetune": "cluster"}),))
    assert set(told(lonely)) == {"gone:run-1:finetune"}
    first = news({}, findings(lonely, LIMITS), NOW)
    assert first.is_empty, "files may be on their way"
    assert len(news(first.memory, findings(lonely, LIMITS), NOW + HOUR).fresh) == 1
    assert told(replace(lonely, jobs={}, unseen={"cluster": "no answer"})) == {"blind:cluster": "cannot be asked: no answer"}


def test_workflows_that_failed() -> None:
    bad = Workflow("run-2", "Failed", NOW - 2 * HOUR, NOW - 2 * HOUR, NOW - HOUR, "step finetune failed\nmore", "finetune")
    assert told(world(workflows=(bad,))) == {"failed:run-2": "failed 1 h ago: step finetune failed"}
    assert told(world(workflows=(replace(bad, stopped=True),))) == {}
    assert told(world(workflows=(replace(bad, finished=NOW - 30 * HOUR),))) == {}
    nightly = replace(bad, name="nightly-1", schedule="nightly")
    assert set(told(world(workflows=(nightly,)))) == {"failed:schedule nightly"}
    good = replace(nightly, name="nightly-2", phase="Succeeded", created=NOW - HOUR)
    assert set(told(world(workflows=(nightly, good)))) == {"failed:nightly-1"}
    assert set(told(world(workflows=(replace(bad, phase="Running", finished=None, started=NOW - 30 * HOUR),)))) == {"long:run-2"}
    assert set(told(world(workflows=(replace(bad, phase="", finished=None, started=None, created=NOW - 3 * HOUR),)))) == {"pending:run-2"}


def test_nightlies_that_did_not_start() -> None:
    late = replace(NIGHTLY, last=NOW - 44 * HOUR)
    assert told(world(schedules=(late,))) == {"missing:nightly": "did not start 19 h ago"}
    assert told(world(schedules=(replace(late, going=("nightly-1",)),))) == {
        "missing:nightly": "did not start 19 h ago: nightly-1 still goes on"
    }
    assert told(world(schedules=(replace(late, paused=True),))) == {}
    assert told(world(schedules=(replace(late, since=NOW - HOUR),))) == {}, "deployed since"
    assert told(world(schedules=(replace(late, last=None),))) != {}
    assert told(world(planned=("nightly",))) == {"undeployed:nightly": "is in the settings, and not in the cluster"}
    assert set(told(world(planned=("nightly",), unseen={ARGO: "no answer"}))) == {f"blind:{ARGO}"}


def test_ends_that_nobody_wrote() -> None:
    lost = replace(RUN, state="lost", is_open=False)
    (cure,) = cures(world(jobs={}, runs=(lost,)), LIMITS)
    assert (cure.kind, cure.run, cure.state) == (END, "run-1", "lost")
    starting = replace(lost, written="starting", started=NOW - HOUR)
    assert cures(world(jobs={}, runs=(starting,)), LIMITS) == (), "its image may be in the making"
    assert len(cures(world(jobs={}, runs=(replace(starting, started=NOW - 3 * HOUR),)), LIMITS)) == 1
    failed = replace(RUN, state="failed", is_open=False, ended=NOW - HOUR)
    assert [cure.state for cure in cures(world(jobs={}, runs=(failed,)), LIMITS)] == ["failed"]
    assert cures(world(jobs={}, runs=(replace(failed, ended=NOW - 60),)), LIMITS) == (), "the handler may be about to"
    assert cures(world(jobs={}, runs=(replace(failed, written="failed"),)), LIMITS) == ()


# hostile words

words = st.text(min_size=1, max_size=40)


@steady
@given(words, words, words)
def test_any_words_are_shown_as_words(name: str, reason: str, user: str) -> None:
    """They mention nobody, are no link, and end no block."""
    job = replace(JOB, name=name, run="", user=user, state="PENDING", submitted=NOW - 9 * HOUR, reason=reason)
    limits = replace(LIMITS, users=(user,))
    seen = news({}, findings(world(jobs={"cluster": (job,)}, runs=()), limits), NOW)
    assert [found.kind for found in seen.fresh] == ["pending"]
    text = digest(seen, "<!channel> `team`")
    assert "<" not in text
    assert len(text.splitlines()) == 3, "a line each"


BETWEEN = "--0f0f--"
fields = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=12).filter(lambda text: BETWEEN not in text)


@steady
@given(st.lists(st.tuples(*[fields] * 12), max_size=5))
def test_what_squeue_says_of_any_names(rows: list[tuple[str, ...]]) -> None:
    """Bars, newlines and whatever else: a row is a row."""
    listed = parse_rows([f"{BETWEEN.join(row)}\n" for row in rows], BETWEEN, ["/root"])
    assert [(job.id, job.state, job.user, job.directory, job.partition, job.name) for job in listed] == [
        (row[0], row[1], row[6], row[9], row[10], row[11]) for row in rows
    ]


def test_whose_a_job_is() -> None:
    def listed(directory: str, name: str) -> Listed:
        row = ["7", "RUNNING", "2024-05-01T20:00:00", "N/A", "gres:gpu:h100:8", "4", "ada", "None", "n[1-4]", directory, "gpu", name]
        (job,) = parse_rows([f"{BETWEEN.join(row)}\n"], BETWEEN, ["/shared/builder", "/other"])
        return job

    ours = listed("/shared/builder/runs/run-1/evaluate-click-a2", "run-1.evaluate-click-a2")
    assert (ours.run, ours.step, ours.attempt, ours.gpus, ours.starts, ours.submitted) == (
        "run-1",
        "evaluate-click",
        2,
        32,
        None,
        1714593600,
    )
    for directory, name in (
        ("/home/ada", "run-1.finetune-a1"),
        ("/shared/builder/runs/run-2/finetune-a1", "run-1.finetune-a1"),
        ("/shared/builder/runs/../x/finetune-a1", "...finetune-a1"),
        ("/shared/builder/runs/run-1/finetune-a1", "run-1.finetune-a1\nrun-2.finetune-a1"),
    ):
        assert listed(directory, name).run == "", (directory, name)


def test_kinds_are_those_of_the_digest() -> None:
    from builder.watch.wording import TITLES

    assert tuple(TITLES) == KINDS
