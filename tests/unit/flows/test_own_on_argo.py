"""What the pods of a team's own flow write into the ledger: each when its step begins, the exit handler at the end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.data.ledger import Records
from builder.settings import FlowSettings
from builder.steps import begin
from builder.steps import exit as ending
from builder.steps.outcome import result_of, state_of, why
from builder.steps.request import Request
from builder.steps.request_file import kept_request
from builder.steps.root import ledger_of, objects_of
from tests.fixtures.metaflow_store import write_task
from tests.fixtures.requests import request_in

RUN = "own-1"


@pytest.fixture(name="request_")
def a_request(tmp_path: Path) -> Request:
    """As a template holds it: without a run."""
    return request_in(tmp_path, FlowSettings(file="flows/own.py"), run="", flow="own", on="argo")


@pytest.fixture(name="store")
def a_store(tmp_path: Path) -> Path:
    return tmp_path / "data/metaflow"


def environ(request: Request, **more: str) -> dict[str, str]:
    return {"BUILDER_REQUEST": request.pack(), "BUILDER_RUN": RUN, "BUILDER_FLOW_CLASS": "Own", **more}


def end(request: Request, status: str, *failures: dict[str, Any]) -> Records:
    told = json.dumps(json.dumps(failures)) if failures else "{{workflow.failures}}"
    started = {"BUILDER_STARTED": "2023-11-14T22:13:20Z"}
    ending.main(environ(request, BUILDER_STATUS=status, BUILDER_FAILURES=told, **started))
    return ledger_of(request).read(RUN)


def failure(template: str, message: str) -> dict[str, Any]:
    return {"displayName": template, "templateName": template, "message": message, "type": "Pod", "podName": f"{RUN}-{template}"}


def test_a_nightly_is_known_as_soon_as_it_begins(request_: Request, store: Path) -> None:
    begin.main(environ(request_), "start")
    records = ledger_of(request_).read(RUN)
    assert (state_of(records), records["start"]["flow"], records["start"]["commit"]) == ("running", "own", "a" * 40)
    assert kept_request(objects_of(request_), RUN) == replace(request_, run=RUN)
    write_task(store, f"Own/argo-{RUN}/start/t-1", 1)
    begin.main(environ(request_), "work_it")
    records = ledger_of(request_).read(RUN)
    assert {step: record["state"] for step, record in records.items()} == {"start": "running", "work_it": "running"}


def test_the_end_of_a_run_that_succeeded(request_: Request, store: Path) -> None:
    write_task(store, f"Own/argo-{RUN}/start/t-1", 1)
    write_task(store, f"Own/argo-{RUN}/end/t-2", 3, scores={"click": 0.5})
    records = end(request_, "Succeeded")
    assert {step: record["state"] for step, record in records.items()} == dict.fromkeys(("start", "end", "exit"), "succeeded")
    result = result_of(RUN, records)
    assert (result.state, dict(result.scores), result.run, result.flow) == ("succeeded", {"click": 0.5}, RUN, "own")
    assert "directory" not in result.links


def test_the_end_of_a_run_whose_step_failed(request_: Request, store: Path) -> None:
    write_task(store, f"Own/argo-{RUN}/start/t-1", 1)
    write_task(store, f"Own/argo-{RUN}/work_it/t-2", 3, ok=False, err="RuntimeError: two is broken")
    records = end(request_, "Failed", failure("work-it", "Error (exit code 1)"))
    assert (records["work_it"]["state"], records["exit"]["state"], records["exit"]["at"]) == ("failed", "failed", "work_it")
    error = why(records)
    assert error is not None
    assert error.message == f"{RUN}: step work_it failed; its last lines:\n  RuntimeError: two is broken"


@pytest.mark.parametrize("began", [True, False])
def test_what_died_without_a_word(request_: Request, store: Path, began: bool) -> None:
    """Before Metaflow wrote that the task began, or after."""
    write_task(store, f"Own/argo-{RUN}/start/t-1", 1)
    begin.main(environ(request_), "work_it")
    if began:
        write_task(store, f"Own/argo-{RUN}/work_it/t-2", 3, ok=None)
    records = end(request_, "Failed", failure("work-it", "OOMKilled (exit code 137)"))
    assert (records["work_it"]["state"], records["work_it"]["end"]) == ("failed", "memory")
    assert f"{RUN}: step work_it: its pod was killed: out of memory" in records["work_it"]["error"]
    assert records["exit"]["at"] == "work_it"


def test_a_run_that_was_stopped(request_: Request, store: Path) -> None:
    begin.main(environ(request_), "start")
    records = end(request_, "Stopped")
    assert (records["start"]["state"], state_of(records)) == ("stopped", "stopped")
