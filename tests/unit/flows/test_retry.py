"""What a run that goes on with another one is asked for, and what it keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.errors import UsageError
from builder.runs.argo import template_that_ran
from builder.runs.history import Seen
from builder.runs.places import Directories
from builder.runs.retry import go_on, kept_steps, moved, steps_to_do
from builder.settings import DataSettings, FlowSettings
from builder.steps.request import Origin, Place, Request
from tests.fixtures.memory_cluster import MemoryCluster
from tests.fixtures.requests import request_in

FAILED: dict[str, Any] = {"state": "failed", "started": "2024-05-01T08:00:00Z"}
DONE = {"state": "succeeded", "result": {}}


def asked(tmp_path: Path, **fields: Any) -> Request:
    origin = Origin(who="ada", parent="parent-1", depth=1, main=True, schedule="nightly")
    return request_in(tmp_path, FlowSettings(), evals=("click", "type"), overrides=("lr=1",), origin=origin, **fields)


def test_the_same_by_the_person_who_asks_now(tmp_path: Path) -> None:
    before = asked(tmp_path)
    after = go_on(Seen.of("run-1", {"run": FAILED}), before, "", "bob")
    assert after.run.startswith("finetune-aaaaaaa-")
    assert after.origin == Origin(who="bob", retried="run-1", parent="parent-1", depth=1, main=True)
    assert replace(after, run=before.run, origin=before.origin) == before


def test_what_is_kept_and_what_is_not(tmp_path: Path) -> None:
    records = {"run": FAILED, "start": DONE, "finetune": DONE, "freeze": DONE, "evaluate-click": DONE}
    records |= {"evaluate-type": {"state": "missing", "result": {}}, "end": {"state": "failed"}}

    def split(redo: str) -> tuple[list[str], list[str]]:
        request = go_on(Seen.of("run-1", records), asked(tmp_path), redo, "bob")
        kept = kept_steps(records, request)
        return kept, steps_to_do(kept, request)

    assert split("") == (["start", "finetune", "freeze", "evaluate-click"], ["evaluate-type", "end"]), "a hole is filled"
    assert split("evaluate") == (["start", "finetune", "freeze"], ["evaluate-click", "evaluate-type", "end"])
    assert split("evaluate-click") == (["start", "finetune", "freeze"], ["evaluate-click", "evaluate-type", "end"])
    assert split("start")[0] == []


@pytest.mark.parametrize(
    ("state", "redo", "said"),
    [
        ("running", "", "run-1 is running"),
        ("succeeded", "", "run-1 succeeded"),
        ("failed", "evaluate-clik", "run-1 has no step evaluate-clik"),
        ("failed", "nonsense", "run-1 has no step nonsense"),
    ],
)
def test_what_cannot_be(tmp_path: Path, state: str, redo: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        go_on(Seen.of("run-1", {"run": {**FAILED, "state": state}}), asked(tmp_path), redo, "bob")


def test_directories_are_this_machines(tmp_path: Path) -> None:
    directories, place = Directories(tmp_path / "here"), Place("/there/code", "/there", ("src",), "/there/python", {"A": "1"})
    local = moved(asked(tmp_path, on="local", place=place), directories, DataSettings("/here/data"), "/here/python")
    output = str(tmp_path / "here/runs/run-1")
    assert local.place == Place(f"{output}/code", output, ("src",), "/here/python", {"A": "1"})
    assert local.data.root == "/here/data"
    docker = moved(asked(tmp_path, on="docker", place=place), directories, DataSettings("/here/data"), "")
    assert (docker.place.workdir, docker.place.output, docker.place.python) == ("/there/code", output, "/there/python")
    argo = asked(tmp_path, on="argo", place=place)
    assert moved(argo, directories, DataSettings("/here/data"), "") == argo
    shared = moved(
        replace(asked(tmp_path, on="local"), data=DataSettings("s3://bucket/x")), directories, DataSettings("s3://other"), "python"
    )
    assert shared.data.root == "s3://bucket/x"


def test_the_template_of_the_run_is_used_while_it_is_there() -> None:
    cluster, reference = MemoryCluster(), f"registry.test/x@sha256:{'0' * 64}"
    metadata = {"name": "finetune-1", "labels": {"builder/flow": "finetune"}, "annotations": {"builder/reference": reference}}
    cluster.create({"kind": "WorkflowTemplate", "metadata": metadata, "spec": {"arguments": {}}})
    started = Seen.of("run-1", {"run": {**FAILED, "template": "finetune-1", "reference": reference}})
    found = template_that_ran(cluster, started)
    assert found is not None
    assert found["metadata"] == {**metadata, "namespace": "team"}, "what the server added cannot be sent to it again"
    cluster.create({"kind": "Workflow", "metadata": {"name": "night-1"}, "spec": {"workflowTemplateRef": {"name": "finetune-1"}}})
    nightly = Seen.of("night-1", {"start": {**FAILED, "reference": reference}})
    assert (template_that_ran(cluster, nightly) or {})["metadata"]["name"] == "finetune-1"
    other = Seen.of("run-1", {"run": {**FAILED, "template": "finetune-1", "reference": "registry.test/x@sha256:1"}})
    assert template_that_ran(cluster, other) is None, "it runs another image"
    cluster.delete("workflowtemplates", "finetune-1")
    assert template_that_ran(cluster, started) is None
