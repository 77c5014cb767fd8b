"""Runs on this machine that go on without their terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from builder.errors import LaunchError
from builder.runs.detached import detach
from builder.runs.execute import Execution
from tests.fixtures.requests import request_in
from tests.fixtures.steered import Steered, steered
from tests.fixtures.waiting import until

pytestmark = pytest.mark.minutes  # many runs through Metaflow, seconds each


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Steered:
    return steered(tmp_path, monkeypatch, capsys, {})


def test_a_detached_run_is_started_and_goes_on_by_itself(team: Steered) -> None:
    run = team.started()
    record = team.ledger.read(run)["run"]
    assert record["state"] == "running"
    supervisor = record["supervisor"]
    assert os.getsid(supervisor) == supervisor != os.getsid(0), "no terminal's hang-up reaches it"
    team.go(run)
    assert team.ended(run)["state"] == "succeeded"
    assert team.ended(run)["scores"] == {"click": 0.25, "type": 0.25}


def test_it_says_how_to_follow_it(team: Steered) -> None:
    said = team.builder("run", "finetune@HEAD", "--detach")
    run = said.out.strip()
    assert f"builder logs {run} -f" in said.err
    assert f"builder stop {run}" in said.err
    assert team.ended(run)["state"] == "succeeded"


def test_wait_shows_the_same_as_a_run_that_is_not_detached(team: Steered) -> None:
    waited, attached = team.run("--wait"), team.run("--again")
    for key in ("state", "scores", "checkpoint", "identity", "config"):
        assert waited[key] == attached[key], key


def test_a_failure_is_told_as_if_it_were_not_detached(team: Steered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAK", "type")
    said = team.builder("run", "finetune@HEAD", "--wait", code=1)
    assert "step evaluate-type failed" in said.err
    assert "type is broken" in said.err


def waiting(team: Steered) -> tuple[subprocess.Popen[str], str]:
    """`builder run --wait` in a process of its own, in the middle of training; and its run."""
    argv = [sys.executable, "-m", "builder", "run", "finetune@HEAD", "hold=true", "--wait"]
    child = subprocess.Popen(argv, env={**os.environ, "PYTHONSAFEPATH": "1"}, stderr=subprocess.PIPE, text=True)
    until(lambda: list(team.state.glob("runs/*/finetune/output/seen.json")) or child.poll() is not None)
    return child, next(team.state.glob("runs/*")).name


def test_ctrl_c_ends_only_the_waiting(team: Steered) -> None:
    child, run = waiting(team)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)
    assert child.returncode == 130
    assert f"{run} goes on; builder logs {run} -f follows it again, builder stop {run} ends it" in said
    assert team.ledger.read(run)["run"]["state"] == "running"
    team.go(run)
    assert team.ended(run)["state"] == "succeeded"


def test_whoever_waits_learns_that_nobody_looks_after_the_run_any_more(team: Steered) -> None:
    child, run = waiting(team)
    os.kill(team.ledger.read(run)["run"]["supervisor"], signal.SIGKILL)
    try:
        _, said = child.communicate(timeout=30)
        assert child.returncode == 1
        assert f"{run} is lost: the process that looked after it died" in said
        assert f"builder retry {run}" in said
    finally:
        os.killpg(team.ledger.read(run)["run"]["pid"], signal.SIGKILL)


def test_a_supervisor_that_cannot_begin_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho this machine has no memory left\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(LaunchError, match="did not start") as caught:
        detach(Execution(request_in(tmp_path), "", str(tmp_path), str(tmp_path)), {})
    assert "this machine has no memory left" in caught.value.message
