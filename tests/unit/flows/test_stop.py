"""Asking for the end of a run, and who writes it down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builder.data.directory import DirectoryObjects
from builder.data.ledger import Ledger
from builder.errors import LaunchError
from builder.runs.history import Seen
from builder.runs.stop import Stopper
from builder.steps.stopping import ask_to_stop, stopped_by
from tests.fixtures.memory_cluster import MemoryCluster

RUN: dict[str, Any] = {"state": "submitted", "on": "argo", "started": "2024-05-01T08:00:00Z"}


@pytest.fixture
def cluster() -> MemoryCluster:
    made = MemoryCluster()
    made.create({"kind": "Workflow", "metadata": {"name": "run-1"}, "spec": {}})
    return made


@pytest.fixture
def stopper(tmp_path: Path, cluster: MemoryCluster) -> Stopper:
    objects = DirectoryObjects(tmp_path)
    return Stopper("ada", objects, Ledger(objects), lambda: cluster)


def test_argo_is_asked_once_so_that_its_handler_still_runs(stopper: Stopper, cluster: MemoryCluster) -> None:
    seen = Seen.of("run-1", {"run": RUN})
    assert "is being stopped; its pods get 30 s to end" in stopper.stop(seen)
    workflow = cluster.get("workflows", "run-1") or {}
    assert workflow["spec"]["shutdown"] == "Stop"
    assert workflow["metadata"]["annotations"]["builder/stopped-by"] == "ada"
    assert stopped_by(stopper.objects, "run-1")["stopped_by"] == "ada"
    assert stopper.stop(seen) == "run-1 is being stopped already"
    assert [verb for verb, *_ in cluster.asked].count("patch") == 1


def test_what_has_ended_stays_as_it_is(stopper: Stopper, cluster: MemoryCluster) -> None:
    assert stopper.stop(Seen.of("run-1", {"run": {**RUN, "state": "failed"}})) == "run-1 has ended already: failed"
    assert [verb for verb, *_ in cluster.asked] == ["create"]


def test_a_run_that_just_begins(stopper: Stopper) -> None:
    with pytest.raises(LaunchError, match="is not in namespace team yet"):
        stopper.stop(Seen.of("run-2", {"run": RUN}))
    with pytest.raises(LaunchError, match="is just starting"):
        stopper.stop(Seen.of("run-2", {"run": {**RUN, "on": "local", "state": "starting"}}))


def test_the_first_who_asks_is_remembered(tmp_path: Path) -> None:
    objects = DirectoryObjects(tmp_path)
    assert stopped_by(objects, "run-1") == {"state": "stopped"}
    assert ask_to_stop(objects, "run-1", "ada")
    assert not ask_to_stop(objects, "run-1", "bob")
    assert stopped_by(objects, "run-1") == {"state": "stopped", "stopped_by": "ada", "error": "run-1 was stopped by ada"}
