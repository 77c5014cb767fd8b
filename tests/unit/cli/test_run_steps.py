"""What a run says of its steps while they run."""

from __future__ import annotations

import time

import pytest

from builder.cli import output
from builder.cli.following import Steps

RUNNING = {"state": "running", "log": "/runs/one/finetune/log"}
LINE = "  finetune is running; to follow it: tail -f /runs/one/finetune/log\n"


def test_on_a_terminal_a_step_says_at_once_how_to_follow_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda _: True)
    steps = Steps("one", here=True)
    for _ in range(3):
        steps("finetune", RUNNING)
    steps("start", {"state": "running"})
    assert capsys.readouterr().err == LINE


def test_elsewhere_after_ten_seconds(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    steps = Steps("one", here=True)
    for now in (0.0, 9.9):  # noqa: B007 - the clock reads it
        steps("finetune", RUNNING)
    assert capsys.readouterr().err == ""
    now = 10.0
    steps("finetune", RUNNING)
    steps("finetune", {**RUNNING, "state": "succeeded", "seconds": 12})
    assert capsys.readouterr().err == LINE + "  finetune succeeded in 12 s\n"


def test_what_a_step_warns_of(capsys: pytest.CaptureFixture[str]) -> None:
    Steps("one", here=True)("end", {"state": "succeeded", "warning": "MLflow was not told: no answer"})
    assert capsys.readouterr().err == "  end succeeded\nwarning: MLflow was not told: no answer\n"
