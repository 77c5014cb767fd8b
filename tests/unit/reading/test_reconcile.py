"""What is known of runs that go on: by this machine's processes, and by Argo."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from builder.data.ledger import RUN, Ledger
from builder.errors import AuthError, ClusterError
from builder.runs.history import Filter, Seen, runs_of
from builder.runs.reconcile import reconcile
from tests.fixtures.memory_cluster import MemoryCluster
from tests.fixtures.records import GONE, root, submit_run, write_run


def workflow(name: str, phase: str, message: str = "", **status: Any) -> dict[str, Any]:
    labels = {"workflows.argoproj.io/completed": "true" if phase in ("Succeeded", "Failed", "Error") else "false"}
    metadata = {"name": name, "labels": labels}
    return {"kind": "Workflow", "metadata": metadata, "spec": {}, "status": {"phase": phase, "message": message, **status}}


def stand(tmp_path: Path, cluster: MemoryCluster | None = None) -> dict[str, Seen]:
    found = reconcile(runs_of(Ledger(root(tmp_path)), Filter()), lambda: cluster or no_cluster(), pytest.fail)
    return {seen.run: seen for seen in found}


def no_cluster() -> MemoryCluster:
    raise AssertionError("nothing on Argo goes on: nobody need be asked")


def test_a_run_whose_process_is_gone_is_lost_and_nothing_is_written(tmp_path: Path) -> None:
    write_run(root(tmp_path), "alive", "running")
    write_run(root(tmp_path), "dead", "running")
    write_run(root(tmp_path), "elsewhere", "running")
    write_run(root(tmp_path), "over", "succeeded")
    ledger = Ledger(root(tmp_path))
    ledger.write("dead", RUN, {**ledger.read("dead")[RUN], "supervisor": GONE})
    ledger.write("elsewhere", RUN, {**ledger.read("elsewhere")[RUN], "supervisor": GONE, "host": "another"})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert {name: seen.state for name, seen in stand(tmp_path).items()} == {
        "alive": "running",
        "dead": "lost",
        "elsewhere": "running",
        "over": "succeeded",
    }
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before


def test_what_argo_says_of_each(tmp_path: Path) -> None:
    cluster = MemoryCluster()
    pulling = {"type": "Pod", "phase": "Pending", "displayName": "start", "message": "ImagePullBackOff: Back-off pulling image"}
    for name, phase, message, status in (
        ("runs", "Running", "", {"nodes": {"x": {"type": "Pod", "phase": "Running"}}}),
        ("waits", "Pending", "Waiting for team/ConfigMap/builder-queues/finetune lock. Lock status: 0/2", {}),
        ("pulls", "Running", "", {"nodes": {"x": pulling}}),
        ("ended", "Succeeded", "", {}),
        ("broke", "Failed", "child 'x' failed", {}),
        ("ordered", "Failed", "Stopped with strategy 'Terminate'", {}),
    ):
        submit_run(root(tmp_path), name)
        cluster.create(workflow(name, phase, message, **status))
    submit_run(root(tmp_path), "gone")
    submit_run(root(tmp_path), "told", exit_state="failed")
    submit_run(root(tmp_path), "others", namespace="another")
    found = {name: (seen.state, seen.detail) for name, seen in stand(tmp_path, cluster).items()}
    assert found == {
        "runs": ("running", ""),
        "waits": ("waiting", "for the queue of finetune (2 of 2 running)"),
        "pulls": ("running", "start: ImagePullBackOff: Back-off pulling image"),
        "ended": ("succeeded", ""),
        "broke": ("failed", "child 'x' failed"),
        "ordered": ("stopped", "Stopped with strategy 'Terminate'"),
        "gone": ("lost", ""),
        "told": ("failed", ""),
        "others": ("submitted", ""),
    }
    assert [verb for verb, _, _ in cluster.asked if verb != "create"].count("list") == 1
    asked = {name for verb, _, name in cluster.asked if verb == "get"}
    assert asked == {"ended", "broke", "ordered", "gone"}, "only what is not in the list of those that go on"


def test_a_workflow_that_is_being_made_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submit_run(root(tmp_path), "coming", state="submitting")
    started = json.loads((tmp_path / ".builder/data/ledger/coming/run.json").read_text())["started"]
    for later, state in ((10, "submitting"), (1000, "lost")):
        moment = time.mktime(time.strptime(started, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone + later
        monkeypatch.setattr("builder.runs.reconcile.time.time", lambda moment=moment: moment)
        assert stand(tmp_path, MemoryCluster())["coming"].state == state


@pytest.mark.parametrize("error", [ClusterError("it did not answer"), AuthError("it may not")])
def test_a_cluster_that_cannot_be_reached_is_a_warning(tmp_path: Path, error: Exception) -> None:
    submit_run(root(tmp_path), "one")
    write_run(root(tmp_path), "two", "running")
    said: list[str] = []

    def connect() -> MemoryCluster:
        raise error

    found = reconcile(runs_of(Ledger(root(tmp_path)), Filter()), connect, said.append)
    assert {seen.run: seen.state for seen in found} == {"one": "submitted", "two": "running"}
    assert said == [f"runs on Argo are shown as the ledger has them: {error}"]
