"""Which runs are green, and which of them is the last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builder.model.run import RunResult
from builder.settings import FlowSettings
from builder.steps import green
from builder.steps.request import Origin, Request
from tests.fixtures.records import clock, root
from tests.fixtures.requests import request_in

FLOW = FlowSettings(evals={"click": ("true",), "type": ("true",)})


def asked(tmp_path: Path, run: str, **fields: object) -> Request:
    known = {"run": run, "evals": ("type", "click"), "origin": Origin(main=True)}
    return replace(request_in(tmp_path, FLOW), **{**known, **fields})  # type: ignore[arg-type]


def remember(tmp_path: Path, request: Request, at: float, monkeypatch: pytest.MonkeyPatch, **result: object) -> None:
    monkeypatch.setattr(green, "now", lambda: clock(at))
    ended = RunResult(request.run, request.flow, request.commit, request.reference, "succeeded", identity="same")
    green.remember(root(tmp_path), request, replace(ended, **result))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "is_green"),
    [
        ({}, True),
        ({"origin": Origin()}, False),
        ({"overrides": ("lr=1",)}, False),
        ({"overrides": ("lr=1",), "origin": Origin(main=True, schedule="nightly")}, True),
        ({"evals": ("click",)}, False),
    ],
)
def test_what_makes_a_run_green(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, object], is_green: bool) -> None:
    remember(tmp_path, asked(tmp_path, "r", **fields), 0, monkeypatch)
    assert (green.last(root(tmp_path), "finetune") is not None) is is_green
    assert green.same(root(tmp_path), "same") is not None
    remember(tmp_path, asked(tmp_path, "hole"), 10, monkeypatch, holes={"click": "no score"})
    assert (green.same(root(tmp_path), "same") or {})["run"] == "r"


def test_the_last_one_of_those_that_are_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, origin in enumerate((Origin(main=True), Origin(main=True, schedule="nightly"), Origin(main=True))):
        remember(tmp_path, asked(tmp_path, f"r-{number}", origin=origin), 100 * number, monkeypatch)

    def last(**wanted: object) -> str:
        return str((green.last(root(tmp_path), "finetune", **wanted) or {}).get("run"))  # type: ignore[arg-type]

    assert (last(), last(before="r-2"), last(scheduled=True)) == ("r-2", "r-1", "r-1")
    assert (last(until=clock(199)), last(until=clock(200)), last(until=clock(-1))) == ("r-1", "r-2", "None")
    assert green.last(root(tmp_path), "train") is None
