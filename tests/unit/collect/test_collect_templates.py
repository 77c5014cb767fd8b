"""Templates and workflows in the cluster, by hand: what housekeep would clear away, with the options' times, and only if all answer."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from builder.collect import runs, templates
from builder.collect.needs import SCHEDULES, Needs, Reason
from builder.data.ledger import Ledger
from builder.deploy.apply import TEMPLATE_LABEL
from builder.deploy.names import MANAGED
from builder.deploy.starter import PART
from builder.errors import ClusterError, DataError, UnansweredError
from builder.settings import DeploySettings, RunSettings, Settings
from tests.fixtures.collecting import collected, scene_of
from tests.fixtures.memory_cluster import MemoryCluster
from tests.fixtures.records import root, submit_run

API = "argoproj.io/v1alpha1"
SETTINGS = Settings(run=RunSettings(on="argo"), deploy=DeploySettings(namespace="team"))


def put(cluster: MemoryCluster, kind: str, name: str, days: float, labels: dict[str, str], **more: Any) -> str:
    cluster.create({"apiVersion": API, "kind": kind, "metadata": {"name": name, "labels": labels}, "spec": {}, **more})
    cluster.objects[f"{kind.lower()}s", name]["metadata"]["creationTimestamp"] = ago(days)
    return name


def ago(days: float) -> str:
    return (datetime.now(timezone.utc) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def template(cluster: MemoryCluster, letter: str, days: float = 60) -> str:
    labels = {"builder/flow": "finetune", "builder/commit": letter * 40}
    return put(cluster, "WorkflowTemplate", f"finetune-{letter * 12}-00000000", days, labels)


def collector(path: Path, cluster: MemoryCluster, kind: Any = templates, **more: Any) -> Any:
    return kind.Collector(scene_of(root(path), path, cluster=cluster, settings=SETTINGS, **more))


def names(cluster: MemoryCluster, kind: str) -> set[str]:
    return {name for of, name in cluster.objects if of == kind}


def test_templates_that_nothing_needs(tmp_path: Path) -> None:
    cluster = MemoryCluster()
    old, green, open_run, scheduled, elsewhere = (template(cluster, letter) for letter in "abcde")
    young = template(cluster, "f", 1)
    starter = put(cluster, "WorkflowTemplate", "start-1", 60, {**PART, "builder/commit": "9" * 40})
    put(cluster, "WorkflowTemplate", "somebody-elses", 60, {})
    root(tmp_path).put(f"green/finetune/{ago(50)}-run-1", json.dumps({"run": "run-1", "commit": "b" * 40}).encode())
    submit_run(root(tmp_path), "run-2", commit="c" * 40)
    spec = {"workflowSpec": {"workflowTemplateRef": {"name": scheduled}}}
    put(cluster, "CronWorkflow", "nightly", 60, {**MANAGED, "builder/commit": "d" * 40}, spec=spec)
    needs = Needs(templates={elsewhere: Reason(SCHEDULES, "schedule nightly of another namespace starts it")})
    plan = {verdict.thing.name: verdict for verdict in collector(tmp_path, cluster, keep_last=1, needs=needs).plan()}
    assert {name for name, verdict in plan.items() if verdict.goes} == {old, starter}
    assert plan[elsewhere].why == "schedule nightly of another namespace starts it"
    assert collected(collector(tmp_path, cluster, keep_last=1, needs=needs)) == {old: "removed", starter: "removed"}
    assert names(cluster, "workflowtemplates") == {green, open_run, scheduled, elsewhere, young, "somebody-elses"}
    assert collected(collector(tmp_path, cluster, keep_last=1, needs=needs)) == {}


def test_the_options_time_counts_and_two_hours_at_least(tmp_path: Path) -> None:
    cluster = MemoryCluster()
    new, older = template(cluster, "a", 1.5 / 24), template(cluster, "b", 3 / 24)
    assert collected(collector(tmp_path, cluster, keep_days=1)) == {}
    assert collected(collector(tmp_path, cluster, keep_days=0)) == {older: "removed"}
    assert names(cluster, "workflowtemplates") == {new}


def test_what_a_run_or_a_schedule_begins_to_need_meanwhile_stays(tmp_path: Path) -> None:
    cluster = MemoryCluster()
    started, scheduled, gone = (template(cluster, letter) for letter in "abc")
    needs = Needs()
    once = collector(tmp_path, cluster, needs=needs)
    going = [verdict for verdict in once.plan() if verdict.goes]
    needs.templates[scheduled] = Reason(SCHEDULES, "schedule nightly starts it")
    put(cluster, "Workflow", "run-1", 0, {"builder/flow": "finetune", TEMPLATE_LABEL: started})
    cluster.delete("workflowtemplates", gone)
    assert {one.verdict.thing.name: one.became for one in once.remove(going)} == {started: "used", scheduled: "used", gone: "gone"}
    assert names(cluster, "workflowtemplates") == {started, scheduled}


@pytest.mark.parametrize("kind", [templates, runs])
def test_who_does_not_answer_keeps_everything(tmp_path: Path, kind: Any) -> None:
    cluster = MemoryCluster()
    template(cluster, "a")

    def fault(verb: str, of: str, name: str) -> None:
        if (verb, of) == ("list", "workflows"):
            raise ClusterError("no answer")

    cluster.fault = fault
    with pytest.raises(UnansweredError, match="Argo could not be asked: no answer; nothing is deleted"):
        collector(tmp_path, cluster, kind).plan()
    cluster.fault = lambda *_: None
    root(tmp_path).put("ledger/run-1/run.json", b"{")
    with pytest.raises(DataError, match="cannot be read"):
        collector(tmp_path, cluster, kind).plan()
    assert len(cluster.objects) == 1


def test_workflows_go_with_runs(tmp_path: Path) -> None:
    cluster = MemoryCluster()
    for name, phase, days in (("old", "Succeeded", 60), ("new", "Failed", 1), ("runs", "Running", 60), ("open", "Failed", 60)):
        ended = {"finishedAt": ago(days)} if phase != "Running" else {}
        put(cluster, "Workflow", name, days, {"builder/flow": "finetune"}, status={"phase": phase, **ended})
    submit_run(root(tmp_path), "open")
    assert collected(collector(tmp_path, cluster, runs)) == {"old": "removed"}
    assert names(cluster, "workflows") == {"new", "runs", "open"}
    assert Ledger(root(tmp_path)).read("open")
