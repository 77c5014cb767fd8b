"""What a team's own flow leaves in the ledger: copied from what Metaflow keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from builder.data.directory import DirectoryObjects
from builder.data.metaflow_tasks import MetaflowRun
from builder.settings import FlowSettings
from builder.steps import own
from builder.steps.outcome import result_of, state_of, why
from builder.steps.perform import Failure
from builder.steps.request import Origin, Request
from builder.steps.root import ledger_of, objects_of
from tests.fixtures.metaflow_store import write_task
from tests.fixtures.requests import request_in


@pytest.fixture(name="request_")
def a_request(tmp_path: Path) -> Request:
    settings = FlowSettings(file="flows/x.py")
    return request_in(tmp_path, settings, flow="x", overrides=("lr=0.1",), origin=Origin(who="ada", main=True), subject="First")


@pytest.fixture(name="store")
def a_store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture(name="run")
def a_run(store: Path) -> MetaflowRun:
    return MetaflowRun(DirectoryObjects(store), "", "Train", "7")


def records(request: Request) -> Mapping[str, Mapping[str, Any]]:
    return ledger_of(request).read("run-1")


def states(request: Request) -> dict[str, str]:
    return {step: record["state"] for step, record in records(request).items()}


def test_a_step_has_succeeded_when_another_has_begun_after_it(store: Path, run: MetaflowRun, request_: Request) -> None:
    write_task(store, "Train/7/start/1", 0)
    own.copy_records(request_, run)
    assert states(request_) == {"start": "running"}, "it may be a foreach, with more to begin"
    write_task(store, "Train/7/work/2", 2, ok=None)
    write_task(store, "Train/7/work/3", 2, ok=False)
    own.copy_records(request_, run)
    assert states(request_) == {"start": "succeeded", "work": "running"}, "a task that failed may be tried again"
    start = records(request_)["start"]
    assert (start["flow"], start["subject"], start["origin"]["who"], start["values"]) == ("x", "First", "ada", {"lr": "0.1"})
    assert (start["started"], start["ended"], start["seconds"]) == ("2023-11-14T22:13:20Z", "2023-11-14T22:13:21Z", 1.0)


def test_a_step_that_is_about_to_begin(store: Path, run: MetaflowRun, request_: Request) -> None:
    own.copy_records(request_, run, begun="start")
    assert records(request_)["start"]["flow"] == "x", "a nightly has nobody else who could say what runs"
    assert state_of(records(request_)) == "running"
    write_task(store, "Train/7/start/1", 0)
    own.copy_records(request_, run, begun="work")
    assert states(request_) == {"start": "running", "work": "running"}


def test_the_end_with_scores(store: Path, run: MetaflowRun, request_: Request) -> None:
    write_task(store, "Train/7/start/1", 0, out="hello")
    for name in ("2", "3"):
        write_task(store, f"Train/7/work/{name}", 2, out=f"work of {name}")
    write_task(store, "Train/7/end/4", 4, scores={"type": 1, "click": 0.5, "drag": float("nan")})
    own.finish(request_, run, "succeeded")
    assert states(request_) == {"start": "succeeded", "work": "succeeded", "end": "succeeded"}
    result = result_of("run-1", records(request_))
    assert (result.state, dict(result.scores)) == ("succeeded", {"click": 0.5, "drag": None, "type": 1.0})
    assert result.config == own.parameters(["lr=0.1"]).digest
    objects = objects_of(request_)
    assert json.loads(objects.get("runs/run-1/report.json") or b"")["scores"]["click"] == 0.5
    assert b"| click | 0.5000 |" in (objects.get("runs/run-1/report.md") or b"")
    assert objects.get("runs/run-1/work/log") == b"--- work 2\nwork of 2\n--- work 3\nwork of 3\n"
    assert objects.get("runs/run-1/start/log") == b"hello\n"
    assert [found.key.partition("/")[0] for found in objects.list("identities/")] == ["identities"]
    assert not [*objects.list("green/")], "parameters were given: that is no run of the commit as it is"


@pytest.mark.parametrize(
    ("scores", "warning"),
    [
        ({"click": "good"}, "is no dictionary of names to numbers"),
        ([0.5], "is no dictionary of names to numbers"),
        ({"click": Path("x")}, "is no plain value"),
    ],
)
def test_scores_that_are_none(store: Path, run: MetaflowRun, request_: Request, scores: object, warning: str) -> None:
    write_task(store, "Train/7/end/4", 4, scores=scores)
    own.finish(request_, run, "succeeded")
    assert warning in records(request_)["end"]["warning"]
    assert result_of("run-1", records(request_)).scores == {}


def test_why_it_failed(store: Path, run: MetaflowRun, request_: Request) -> None:
    write_task(store, "Train/7/start/1", 0)
    write_task(store, "Train/7/work/2", 2, ok=False, err="\n".join(f"line {number}" for number in range(30)))
    write_task(store, "Train/7/work/3", 2)
    own.finish(request_, run, "failed")
    assert states(request_) == {"start": "succeeded", "work": "failed"}
    error = why(records(request_))
    assert error is not None
    assert error.message.startswith("run-1: step work failed; its last lines:\n  line 10\n")
    assert error.hint.endswith("runs/run-1/work/log")


def test_what_never_said_how_it_ended(store: Path, run: MetaflowRun, request_: Request) -> None:
    write_task(store, "Train/7/start/1", 0, ok=None)
    own.finish(request_, run, "failed")
    assert records(request_)["start"]["error"] == f"run-1: step start: {own.LOST.error}"
    own.finish(request_, run, "failed", {"start": Failure("memory", "OOMKilled (exit code 137)")})
    assert records(request_)["start"]["error"] == "run-1: step start: OOMKilled (exit code 137)"
    own.finish(request_, run, "stopped")
    assert states(request_) == {"start": "stopped"}


def test_parameters_are_the_configuration() -> None:
    assert own.parameters(["a=1", "b=x=y"]).values == {"a": "1", "b": "x=y"}
    assert own.parameters(["b=2", "a=1"]).digest == own.parameters(["a=1", "b=2"]).digest != own.parameters(["a=1"]).digest
