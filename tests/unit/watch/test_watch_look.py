"""A whole look: what the ledger and Argo say, what is put right, and what people are told."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from builder.data.interface import Objects
from builder.data.ledger import EXIT, RUN, Ledger
from builder.deploy.names import MANAGED
from builder.errors import ClusterError, DataError, NotifyError
from builder.launch.slurm.survey import Listed
from builder.runs.sources import Sources
from builder.settings import DeploySettings, NotifySettings, RunSettings, ScheduleSettings, Settings, WatchSettings
from builder.watch.watch import Watched, watch
from tests.fixtures.memory_cluster import MemoryCluster
from tests.fixtures.records import GONE, root, submit_run, write_run
from tests.fixtures.slack import FakeNotifier, Slack

API = "argoproj.io/v1alpha1"


class Scene:
    """A data root, a namespace, and a channel that everything is told to."""

    def __init__(self, path: Path, **limits: Any) -> None:
        self.objects: Objects = root(path)
        self.cluster = MemoryCluster()
        self.slack = Slack()
        self.notifier = FakeNotifier(self.slack)
        limits = {"gone": "0s", "failed": "9999d", **limits}
        self.settings = Settings(
            run=RunSettings(on="argo"), deploy=DeploySettings(namespace="team"), watch=WatchSettings(**limits), notify=NotifySettings()
        )

    def look(self, *, dry: bool = False) -> Watched:
        sources = Sources(self.settings, self.objects, Ledger(self.objects), lambda: self.cluster)
        return watch(sources, lambda: self.notifier, dry=dry)

    def told(self) -> str:
        """What is told at a look; empty for nothing."""
        before = len(self.slack.messages)
        self.look()
        (*rest,) = self.slack.texts[before:]
        assert len(rest) <= 1, "one digest"
        return "\n".join(rest)

    def workflow(self, name: str, phase: str, message: str = "", **labels: str) -> None:
        completed = "true" if phase in ("Succeeded", "Failed", "Error") else "false"
        metadata = {"name": name, "labels": {"workflows.argoproj.io/completed": completed, **labels}}
        status = {"phase": phase, "message": message, "startedAt": "2024-05-01T08:00:00Z"}
        status |= {"finishedAt": "2024-05-01T09:00:00Z"} if completed == "true" else {}
        self.cluster.objects.pop(("workflows", name), None)
        self.cluster.create({"apiVersion": API, "kind": "Workflow", "metadata": metadata, "spec": {}, "status": status})


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def everything(objects: Objects) -> dict[str, bytes | None]:
    return {found.key: objects.get(found.key) for found in objects.list()}


def test_what_argo_ended_and_nobody_wrote_down(scene: Scene) -> None:
    submit_run(scene.objects, "run-1")
    submit_run(scene.objects, "run-2")
    submit_run(scene.objects, "run-3")
    scene.workflow("run-1", "Failed", "child 'run-1-5' failed")
    scene.workflow("run-3", "Running")
    before = everything(scene.objects)
    planned = scene.look(dry=True)
    assert everything(scene.objects) == before, "a dry run changes nothing"
    assert not scene.slack.messages
    text = scene.told()
    assert text == planned.text
    assert "`run-1` its end is written, which nobody did: failed: child 'run-1-5' failed" in text
    assert "`run-2` its end is written, which nobody did: lost" in text
    assert "`run-1` failed" in text
    ledger = Ledger(scene.objects)
    ends = {run: ledger.read(run).get(EXIT, {}).get("state") for run in ("run-1", "run-2", "run-3")}
    assert ends == {"run-1": "failed", "run-2": "lost", "run-3": None}
    assert "run-3" in text, "it began in 2024"
    after = everything(scene.objects)
    assert scene.told() == "", "nothing is told twice"
    del after["watch/last.json"]
    assert {**everything(scene.objects), **after}.keys() - after.keys() <= {"watch/last.json", "watch/journal/000000000002.json"}


def test_an_end_that_was_written_meanwhile_stands(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    submit_run(scene.objects, "run-1")
    scene.workflow("run-1", "Failed")
    seen = scene.look(dry=True)
    assert [cure.run for cure in seen.cures] == ["run-1"]
    submit_run(scene.objects, "run-1", exit_state="stopped")
    from builder.watch.act import put_right

    sources = Sources(scene.settings, scene.objects, Ledger(scene.objects), lambda: scene.cluster)
    (told,) = put_right(sources, seen.cures, dry=False)
    assert told.text == "its end was to be written (failed), and need not be any more"
    assert Ledger(scene.objects).read("run-1")[EXIT]["state"] == "stopped"
    before = {key: value for key, value in Ledger(scene.objects).read("run-1").items() if key != EXIT}
    monkeypatch.setattr(sources.ledger, "read", lambda _: before)  # as it was a moment ago
    (told,) = put_right(sources, seen.cures, dry=False)
    monkeypatch.undo()
    assert Ledger(scene.objects).read("run-1")[EXIT]["state"] == "stopped"


def test_a_workflow_that_is_there_after_all_is_not_lost(scene: Scene) -> None:
    submit_run(scene.objects, "run-1")
    seen = scene.look(dry=True)
    assert [(cure.run, cure.state) for cure in seen.cures] == [("run-1", "lost")]
    scene.workflow("run-1", "Running")
    from builder.watch.act import put_right

    sources = Sources(scene.settings, scene.objects, Ledger(scene.objects), lambda: scene.cluster)
    put_right(sources, seen.cures, dry=False)
    assert EXIT not in Ledger(scene.objects).read("run-1")


def test_runs_of_jobs_are_known_however_old_or_new_they_are(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one was not there when Argo was asked: that is no reason to think that it is lost."""
    submit_run(scene.objects, "run-1")
    scene.workflow("run-1", "Running")
    job = Listed("7", "run-9.finetune-a1", "RUNNING", 0.0, 0.0, run="run-9", step="finetune", attempt=1)

    def jobs(*_: Any) -> Any:
        submit_run(scene.objects, "run-9")
        yield "cluster", (job,)

    monkeypatch.setattr("builder.watch.look._jobs", jobs)
    seen = scene.look(dry=True)
    assert [(run.name, run.state) for run in seen.world.runs] == [("run-1", "running"), ("run-9", "submitted")]
    assert not seen.cures
    assert not [found for found in seen.news.fresh if found.kind == "zombie"]


def test_a_run_of_this_machine_whose_process_is_dead(scene: Scene) -> None:
    write_run(scene.objects, "dead", "running")
    write_run(scene.objects, "elsewhere", "running")
    ledger = Ledger(scene.objects)
    for run, host in (("dead", {}), ("elsewhere", {"host": "another"})):
        ledger.write(run, RUN, {**ledger.read(run)[RUN], "supervisor": GONE, **host})
    assert "`dead` its end is written, which nobody did: lost" in scene.told()
    assert ledger.read("dead")[RUN]["state"] == "lost"
    assert ledger.read("dead")[RUN]["flow"] == "finetune", "what was known of it stays"
    assert ledger.read("elsewhere")[RUN]["state"] == "running", "its own machine alone can tell"


def test_a_nightly_that_failed_is_told_once_and_its_recovery_once(scene: Scene) -> None:
    scene.workflow("nightly-1", "Failed", "no", **{"builder/schedule": "nightly"})
    assert "`schedule nightly` nightly-1 failed" in scene.told()
    assert scene.told() == ""
    good = {"kind": "Workflow", "apiVersion": API, "metadata": {"name": "nightly-2", "labels": {"builder/schedule": "nightly"}}, "spec": {}}
    scene.cluster.create({**good, "status": {"phase": "Succeeded", "finishedAt": "2024-05-02T09:00:00Z"}})
    scene.cluster.objects["workflows", "nightly-2"]["metadata"]["creationTimestamp"] = "2024-05-02T08:00:00Z"
    text = scene.told()
    assert "*over*" in text
    assert "`schedule nightly` nightly-1 failed" in text
    assert scene.told() == ""


def test_a_cluster_that_does_not_answer_is_no_recovery(scene: Scene) -> None:
    scene.workflow("nightly-1", "Failed", "no", **{"builder/schedule": "nightly"})
    assert "nightly-1" in scene.told()

    def fault(*_: str) -> None:
        raise ClusterError("cluster did not answer <!channel>")

    scene.cluster.fault = fault
    text = scene.told()
    assert "`Argo` cannot be asked: cluster did not answer &lt;!channel&gt;" in text
    assert "*over*" not in text
    assert scene.told() == ""
    scene.cluster.fault = lambda *_: None
    text = scene.told()
    assert "`Argo` cannot be asked" in text.partition("*over*")[2]
    assert "nightly-1" not in text, "it is as it was"


def test_schedules(scene: Scene) -> None:
    now = datetime.now(timezone.utc)
    hour = (now - timedelta(hours=2)).replace(minute=0)
    spec = {"schedules": [f"0 {hour.hour} * * *"], "timezone": "UTC", "concurrencyPolicy": "Forbid"}
    metadata = {"name": "nightly", "labels": {**MANAGED, "builder/schedule": "nightly"}}
    scene.cluster.create({"apiVersion": API, "kind": "CronWorkflow", "metadata": metadata, "spec": spec})
    scene.settings = Settings(
        deploy=DeploySettings(namespace="team"), schedule={name: ScheduleSettings(cron="@daily") for name in ("nightly", "weekly")}
    )
    text = scene.told()
    assert "`schedule nightly` did not start" in text
    assert "`schedule weekly` is in the settings, and not in the cluster" in text
    assert scene.told() == ""
    scene.cluster.objects["cronworkflows", "nightly"]["status"] = {"lastScheduledTime": hour.strftime("%Y-%m-%dT%H:%M:%SZ")}
    assert "`schedule nightly` did not start" in scene.told().partition("*over*")[2]


def test_what_did_not_go_out_is_news_still(scene: Scene) -> None:
    submit_run(scene.objects, "run-1")
    scene.workflow("run-1", "Failed")
    scene.notifier.broken = True
    with pytest.raises(NotifyError):
        scene.look()
    scene.notifier.broken = False
    text = scene.told()
    assert "`run-1` failed" in text
    assert "`run-1` its end is written" in text, "that happened once, and must be told all the same"
    assert scene.told() == ""


def test_nothing_is_written_where_nobody_can_be_told(scene: Scene) -> None:
    submit_run(scene.objects, "run-1")
    before = everything(scene.objects)
    sources = Sources(scene.settings, scene.objects, Ledger(scene.objects), lambda: scene.cluster)

    def none() -> FakeNotifier:
        raise NotifyError("no secret")

    with pytest.raises(NotifyError):
        watch(sources, none)
    assert everything(scene.objects) == before


def test_a_data_root_that_cannot_be_read_says_nothing_of_anything(scene: Scene) -> None:
    scene.objects.put("watch/journal/000000000001.json", b"?")
    with pytest.raises(DataError):
        scene.look()
    assert not scene.slack.messages
