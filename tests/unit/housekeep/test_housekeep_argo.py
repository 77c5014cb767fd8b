"""In the namespace of Argo: old workflows and templates go, and nothing that is needed, or not ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from builder.data.interface import Objects
from builder.data.ledger import Ledger
from builder.deploy.apply import TEMPLATE_LABEL
from builder.deploy.names import MANAGED
from builder.errors import AuthError, ClusterError
from builder.housekeep.housekeep import Kept, housekeep
from builder.runs.sources import Sources
from builder.settings import DeploySettings, RunSettings, Settings
from tests.fixtures.memory_cluster import MemoryCluster
from tests.fixtures.records import root, submit_run

API = "argoproj.io/v1alpha1"
OLD, NEW = 90, 1
COMMITS = {letter: letter * 40 for letter in "abcdefg"}


def ago(days: float) -> str:
    return (datetime.now(timezone.utc) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Scene:
    def __init__(self, path: Path) -> None:
        self.objects: Objects = root(path)
        self.cluster = MemoryCluster()
        self.settings = Settings(run=RunSettings(on="argo"), deploy=DeploySettings(namespace="team"))

    def put(self, kind: str, name: str, days: float, labels: dict[str, str], **more: Any) -> None:
        manifest = {"apiVersion": API, "kind": kind, "metadata": {"name": name, "labels": labels}, "spec": {}, **more}
        self.cluster.create(manifest)
        self.cluster.objects[f"{kind.lower()}s", name]["metadata"]["creationTimestamp"] = ago(days)

    def template(self, letter: str, days: float = OLD) -> str:
        name = f"finetune-{letter * 12}-00000000"
        self.put("WorkflowTemplate", name, days, {"builder/flow": "finetune", "builder/commit": COMMITS[letter]})
        return name

    def workflow(self, name: str, phase: str, days: float, template: str = "", commit: str = "") -> None:
        labels = {"builder/flow": "finetune", "builder/commit": commit, TEMPLATE_LABEL: template}
        ended = {"finishedAt": ago(days)} if phase in ("Succeeded", "Failed") else {}
        self.put("Workflow", name, days, labels, status={"phase": phase, **ended})

    def keep(self, *, dry: bool = False) -> Kept:
        return housekeep(Sources(self.settings, self.objects, Ledger(self.objects), lambda: self.cluster), dry=dry)

    def names(self, kind: str) -> set[str]:
        return {name for of, name in self.cluster.objects if of == kind}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def became(kept: Kept) -> dict[str, str]:
    return {one.verdict.thing.name: one.became for one in kept.done}


def test_templates_that_nothing_needs(scene: Scene) -> None:
    unneeded, green, scheduled, going, open_run, young, lately = (scene.template(letter) for letter in "abcdefg")
    scene.cluster.objects["workflowtemplates", young]["metadata"]["creationTimestamp"] = ago(NEW)
    scene.put("WorkflowTemplate", "somebody-elses", OLD, {})
    record = {"run": "run-1", "commit": COMMITS["b"]}
    scene.objects.put(f"green/finetune/{ago(50)}-run-1", json.dumps(record).encode())
    spec = {"workflowSpec": {"workflowTemplateRef": {"name": scheduled}}}
    scene.put("CronWorkflow", "nightly", OLD, {**MANAGED, "builder/commit": COMMITS["c"]}, spec=spec)
    scene.workflow("run-2", "Running", OLD, going, COMMITS["d"])
    scene.workflow("run-4", "Succeeded", NEW, lately, COMMITS["g"])
    submit_run(scene.objects, "run-3", commit=COMMITS["e"])
    before = dict(scene.cluster.objects)
    planned = scene.keep(dry=True)
    assert scene.cluster.objects == before
    assert [name for name, word in became(planned).items() if word == "would go"] == [unneeded]
    kept = scene.keep()
    assert became(kept)[unneeded] == "removed"
    assert scene.names("workflowtemplates") == {green, scheduled, going, open_run, young, lately, "somebody-elses"}
    why = {one.verdict.thing.name: one.verdict.why for one in kept.done}
    assert why[green] == "run-1 is one of the last 3 green runs of finetune"
    assert why[scheduled] == "schedule nightly starts it"
    assert why[going] == "run-2 goes on"
    assert why[open_run] == "the ledger has no end of run-3"
    assert not any(one.became != "kept" for one in scene.keep().done), "nothing to do the second time"


def test_a_template_that_a_run_of_long_ago_used_is_as_old_as_that_run(scene: Scene) -> None:
    used = scene.template("a")
    submit_run(scene.objects, "run-1", commit=COMMITS["a"], exit_state="succeeded")
    Ledger(scene.objects).write("run-1", "run", {**Ledger(scene.objects).read("run-1")["run"], "template": used, "started": ago(2)})
    assert became(scene.keep())[used] == "kept"


def test_only_the_last_green_runs_count(scene: Scene) -> None:
    names = [scene.template(letter) for letter in "abcde"]
    for days, letter in zip((50, 40, 30, 20, 10), "abcde", strict=True):
        record = {"run": f"run-{letter}", "commit": COMMITS[letter]}
        scene.objects.put(f"green/finetune/{ago(days)}-run-{letter}", json.dumps(record).encode())
    scene.keep()
    assert scene.names("workflowtemplates") == set(names[2:])


def test_workflows_that_have_ended(scene: Scene) -> None:
    scene.workflow("old", "Succeeded", OLD)
    scene.workflow("new", "Failed", NEW)
    scene.workflow("runs", "Running", OLD)
    scene.workflow("open", "Failed", OLD)
    scene.put("Workflow", "foreign", OLD, {}, status={"phase": "Succeeded", "finishedAt": ago(OLD)})
    submit_run(scene.objects, "open")
    scene.keep()
    assert scene.names("workflows") == {"new", "runs", "open", "foreign"}


def test_one_that_cannot_be_removed_stops_no_other(scene: Scene) -> None:
    for name in ("run-1", "run-2", "run-3"):
        scene.workflow(name, "Succeeded", OLD)

    def fault(verb: str, kind: str, name: str) -> None:
        if (verb, name) == ("delete", "run-2"):
            raise AuthError("workflows run-2: forbidden")

    scene.cluster.fault = fault
    kept = scene.keep()
    assert became(kept) == {"run-1": "removed", "run-2": "failed", "run-3": "removed"}
    assert [one.error for one in kept.done if one.error] == ["workflows run-2: forbidden"]
    assert kept.failed


def test_a_cluster_that_cannot_be_asked_keeps_everything(scene: Scene) -> None:
    scene.template("a")

    def fault(verb: str, kind: str, name: str) -> None:
        if (verb, kind) == ("list", "cronworkflows"):
            raise ClusterError("no answer")

    scene.cluster.fault = fault
    kept = scene.keep()
    assert (kept.done, kept.unseen, kept.failed) == ((), {"Argo": "no answer"}, True)
    assert len(scene.names("workflowtemplates")) == 1


def test_a_run_that_comes_meanwhile_keeps_its_template(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    name = scene.template("a")
    plan: Callable[..., Any] = __import__("builder.housekeep.housekeep", fromlist=["plan"]).plan

    def planned(*words: Any) -> Any:
        found = plan(*words)
        scene.workflow("run-9", "", 0, name, COMMITS["a"])
        return found

    monkeypatch.setattr("builder.housekeep.housekeep.plan", planned)
    assert became(scene.keep())[name] == "used"
    assert scene.names("workflowtemplates") == {name}
