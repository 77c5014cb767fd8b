"""`builder gc` of everything but images, after real runs on this machine, and beside one that goes on."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from builder.data.checkpoints import freeze
from builder.data.directory import DirectoryObjects
from tests.fixtures.steered import Steered, steered

pytestmark = pytest.mark.minutes  # runs through Metaflow, seconds each

KINDS = ("runs", "logs", "checkouts", "checkpoints", "templates")


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Steered:
    return steered(tmp_path, monkeypatch, capsys, {})


def age(directory: Path, days: float = 60) -> None:
    for path in (*directory.rglob("*"), directory):
        if not path.is_symlink():
            os.utime(path, (time.time() - days * 86400,) * 2)


def snapshot(directory: Path) -> dict[str, float]:
    return {str(path): path.lstat().st_mtime for path in directory.rglob("*")}


def gc(team: Steered, *words: str, code: int = 0) -> dict[tuple[str, str], dict[str, Any]]:
    things = json.loads(team.builder("gc", *KINDS, "--keep-last", "0", *words, "-o", "json", code=code).out)["things"]
    return {(thing["of"], thing["name"]): thing for thing in things}


def test_after_real_runs_and_beside_one_that_goes_on(team: Steered, tmp_path: Path) -> None:
    good = team.run()["run"]
    stopped = team.started()
    team.builder("stop", stopped)
    going = team.started()
    (tmp_path / "never").mkdir()
    (tmp_path / "never/frozen").write_text("by a run")
    loose = freeze(DirectoryObjects(team.state / "data"), tmp_path / "never").digest
    age(team.state)

    before = snapshot(team.state)
    planned = gc(team, "--dry-run")
    assert snapshot(team.state) == before
    assert {key for key, thing in planned.items() if thing["became"] == "would go"} == {
        ("runs", stopped),
        ("logs", good),
        ("checkouts", good),
        ("checkouts", stopped),
        ("checkpoints", loose),
    }
    assert planned["runs", good]["why"].endswith("which is frozen")
    assert planned["runs", going]["why"] == f"the ledger has no end of {going}"
    assert planned["checkouts", going]["why"] == f"the ledger has no end of {going}"

    done = gc(team, "--yes")
    assert {key for key, thing in done.items() if thing["became"] == "removed"} == {
        key for key, thing in planned.items() if thing["became"] == "would go"
    }
    listed = [run["run"] for run in json.loads(team.builder("status", "-o", "json").out)]
    assert sorted(listed) == sorted([good, going])
    assert "there is no run" in team.builder("retry", stopped, code=2).err
    assert not any(stopped in path for path in snapshot(team.state / "data"))
    assert f"logs of {good} were cleared away on " in team.builder("logs", good, "finetune").err
    assert team.builder("show", good).out

    team.go(going)
    assert team.ended(going)["state"] == "succeeded"
    again = team.builder("retry", good, "--from", "evaluate-type")
    assert f"kept from {good}: start, finetune, freeze, evaluate-click" in again.err
    assert {thing["became"] for thing in gc(team, "--yes").values()} == {"kept"}
    assert "nothing to delete" in team.builder("gc", "--yes").err  # all kinds


def test_a_record_that_cannot_be_read_keeps_everything(team: Steered) -> None:
    stopped = team.started()
    team.builder("stop", stopped)
    (team.state / "data/ledger/other").mkdir()
    (team.state / "data/ledger/other/run.json").write_text("{")
    age(team.state)
    before = snapshot(team.state)
    for kind in KINDS:
        said = team.builder("gc", kind, "--yes", code=1)
        assert "ledger/other/run.json cannot be read" in said.err
    assert snapshot(team.state) == before
