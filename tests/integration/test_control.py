"""`builder logs`, `stop` and `retry` of real runs on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from builder.runs.alive import birth
from builder.runs.stop import end_process
from tests.fixtures.steered import Steered, steered
from tests.fixtures.waiting import until

pytestmark = pytest.mark.minutes  # many runs through Metaflow, seconds each

TRAINED = "training begins\nand says so on stderr\ntraining ends\n"


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Steered:
    return steered(tmp_path, monkeypatch, capsys, {})


# --- logs -----------------------------------------------------------------------------------------------------------------------------


def test_logs_of_a_run_that_has_ended(team: Steered) -> None:
    run = team.run()["run"]
    assert sorted(team.builder("logs", run, "finetune").out.splitlines()) == sorted(TRAINED.splitlines())
    whole = team.builder("logs", run).out
    assert whole.startswith("==> finetune <==\ntraining begins\n")
    assert "==> evaluate-click <==\nscoring click\n" in whole
    assert "Task is starting" not in whole
    everything = team.builder("logs", run, "--all").out
    assert "Task is starting" in everything
    assert "training ends" in everything


def test_logs_while_it_runs_are_read_from_this_machine_and_followed_to_its_end(team: Steered) -> None:
    run = team.started()
    assert "training begins" in team.builder("logs", run, "finetune").out
    assert team.builder("logs", run, "evaluate-click").out == ""
    argv = [sys.executable, "-m", "builder", "logs", run, "-f"]
    environ = {**os.environ, "PYTHONSAFEPATH": "1"}
    following = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert following.stdout is not None
    assert following.stdout.readline() == "==> finetune <==\n"
    assert following.stdout.readline() in TRAINED, "it is shown before the run ends"
    team.go(run)
    rest, said = following.communicate(timeout=60)
    assert following.returncode == 0
    assert "training ends\n" in rest
    assert "==> evaluate-type <==\nscoring type\n" in rest
    assert rest.count("training ends") == 1
    assert said.strip() == f"{run} succeeded"


def test_a_run_or_a_step_that_is_not_there(team: Steered) -> None:
    run = team.run()["run"]
    assert f"did you mean {run}?" in team.builder("logs", run[:-1], code=2).err
    assert "`builder status` lists them" in team.builder("logs", "nothing-like-it", code=2).err
    assert "did you mean evaluate-click?" in team.builder("logs", run, "clik", code=2).err
    assert "its steps: start, finetune, freeze, evaluate-click" in team.builder("logs", run, "xyz", code=2).err
    assert "there is no run ../../etc" in team.builder("logs", "../../etc", code=2).err


# --- stop -----------------------------------------------------------------------------------------------------------------------------


def test_stop_ends_a_detached_run_and_everything_of_it(team: Steered, monkeypatch: pytest.MonkeyPatch) -> None:
    run = team.started()
    record = team.ledger.read(run)["run"]
    monkeypatch.setenv("LOGNAME", "ada")
    assert f"{run} is stopped" in team.builder("stop", run).err
    after = team.ledger.read(run)["run"]
    assert (after["state"], after["stopped_by"]) == ("stopped", "ada")
    assert not birth(record["pid"])
    until(lambda: not birth(record["supervisor"]))
    assert f"{run} has ended already: stopped" in team.builder("stop", run).err
    shown = team.builder("show", run).out
    assert f"{run} was stopped" in shown
    assert "by ada" in shown


def test_stop_ends_a_run_at_its_terminal(team: Steered) -> None:
    argv = [sys.executable, "-m", "builder", "run", "finetune@HEAD", "hold=true"]
    child = subprocess.Popen(argv, env={**os.environ, "PYTHONSAFEPATH": "1"}, stderr=subprocess.PIPE, text=True)
    until(lambda: list(team.state.glob("runs/*/finetune/output/seen.json")) or child.poll() is not None)
    run = next(team.state.glob("runs/*")).name
    team.builder("stop", run)
    _, said = child.communicate(timeout=30)
    assert child.returncode == 130, said
    assert team.ledger.read(run)["run"]["state"] == "stopped"


def test_what_is_left_of_a_run_that_nobody_looks_after_is_ended(team: Steered) -> None:
    run = team.started()
    record = team.ledger.read(run)["run"]
    os.kill(record["supervisor"], signal.SIGKILL)
    until(lambda: not birth(record["supervisor"]))
    assert birth(record["pid"]), "the flow goes on by itself"
    assert "what was left of it is ended" in team.builder("stop", run).err
    until(lambda: not birth(record["pid"]))
    assert team.ledger.read(run)["run"]["state"] == "stopped"


def test_a_run_of_another_machine_is_stopped_there(team: Steered) -> None:
    run = team.started()
    record = team.ledger.read(run)["run"]
    team.ledger.write(run, "run", {**record, "host": "far-away"})
    said = team.builder("stop", run, code=1).err
    assert f"{run} runs on far-away" in said
    assert f"there: builder stop {run}" in said
    assert birth(record["supervisor"])
    team.ledger.write(run, "run", record)
    team.builder("stop", run)


def test_no_other_process_is_ever_ended(tmp_path: Path) -> None:
    """The number is some process's, but not that of the one that the record is about."""
    child = subprocess.Popen(["sleep", "100"], start_new_session=True)
    try:
        record = {"supervisor": child.pid, "supervisor_born": "of another boot/1"}
        assert not end_process(record, "supervisor", signal.SIGKILL)
        assert not end_process(record, "supervisor", signal.SIGKILL, group=True)
        assert not end_process({"supervisor": child.pid}, "supervisor", signal.SIGKILL), "a record without the birth names nobody"
        assert child.poll() is None
        assert end_process({"supervisor": child.pid, "supervisor_born": birth(child.pid)}, "supervisor", signal.SIGKILL)
        assert child.wait(10) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()


# --- retry ----------------------------------------------------------------------------------------------------------------------------


def test_retry_keeps_what_succeeded_and_uses_the_frozen_checkpoint(team: Steered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAK", "type")
    team.builder("run", "finetune@HEAD", "lr=0.5", code=1)
    (failed,) = [path.name for path in (team.state / "runs").iterdir()]
    (team.repository.directory / "train.py").write_text("raise SystemExit('the working tree ran')\n")
    monkeypatch.delenv("BREAK")
    said = team.builder("retry", failed)
    assert f"kept from {failed}: start, finetune, freeze, evaluate-click; to do: evaluate-type, end" in said.err
    assert f"finetune is kept from {failed}" in said.err
    (run,) = {path.name for path in (team.state / "runs").iterdir()} - {failed}
    before, after = team.ledger.read(failed), team.ledger.read(run)
    assert after["run"]["state"] == "succeeded"
    assert after["run"]["scores"] == {"click": 0.25, "type": 0.25}
    for key in ("reference", "commit", "overrides", "flow", "on"):
        assert after["run"][key] == before["run"][key], key
    assert after["freeze"]["checkpoint"] == before["freeze"]["checkpoint"]
    assert (after["finetune"]["kept"], after["run"]["origin"]["retried"]) == (failed, failed)
    assert not (team.state / "runs" / run / "finetune").exists(), "nothing was trained"
    assert team.builder("logs", run, "finetune").out == team.builder("logs", failed, "finetune").out

    again = team.builder("retry", run, "--from", "evaluate-type")
    assert f"kept from {run}: start, finetune, freeze, evaluate-click; to do: evaluate-type, end" in again.err
    third = team.builder("status", "-o", "name").out.split()[0]
    assert team.ledger.read(third)["finetune"]["kept"] == failed, "where its log is"


def test_from_does_a_step_again_with_all_that_needs_it(team: Steered) -> None:
    first = team.run()
    said = team.builder("retry", first["run"], "--from", "finetune", "-o", "json")
    assert "to do: finetune, freeze, evaluate-click, evaluate-type, end" in said.err
    second = team.builder("status", "-o", "name").out.split()[0]
    assert (team.state / "runs" / second / "finetune/log").exists()
    assert team.ledger.read(second)["run"]["identity"] == first["identity"]


def test_a_run_that_was_stopped_goes_on_without_a_terminal(team: Steered) -> None:
    run = team.started()
    team.builder("stop", run)
    retried = team.builder("retry", run, "--detach").out.strip()
    until(lambda: (team.state / "runs" / retried / "finetune/output/seen.json").exists())
    team.go(retried)
    assert team.ended(retried)["state"] == "succeeded"
    assert team.ledger.read(retried)["start"]["kept"] == run


def test_what_cannot_be_gone_on_with(team: Steered) -> None:
    done = team.run()["run"]
    assert f"{done} succeeded" in team.builder("retry", done, code=2).err
    assert "did you mean evaluate-type?" in team.builder("retry", done, "--from", "evaluate-typ", code=2).err
    going = team.started()
    assert f"builder stop {going} ends it first" in team.builder("retry", going, code=2).err
    team.builder("stop", going)
    for blob in (team.state / "data/blobs").rglob("*"):
        if blob.is_file():
            blob.chmod(0o644)
            blob.unlink()
    assert "--from finetune trains it again" in team.builder("retry", done, "--from", "evaluate-type", code=1).err
