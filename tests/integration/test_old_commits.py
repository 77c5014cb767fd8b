"""Commits from before this tool run with the settings that docs/how-to/old-commits.md shows, and so do those after."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builder.cli.frame import run as builder
from builder.demo.history import make_repository
from tests.fixtures.documented import blocks

pytestmark = pytest.mark.minutes  # many runs through Metaflow, seconds each

PAGE = "how-to/old-commits.md"


def git(repository: Path, *words: str) -> str:
    environ = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(repository)}
    return subprocess.run(["git", *words], cwd=repository, env=environ, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(name="agent")
def the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the page's settings in the working tree, which is the working directory."""
    for name in [name for name in os.environ if name.startswith(("METAFLOW_", "BUILDER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_repository(tmp_path / "agent", os.environ["PATH"])
    (flow,) = blocks(PAGE, "toml")
    (tmp_path / "agent/builder.toml").write_text(f'[image]\nbase = "scratch"\n\n{flow}')
    monkeypatch.chdir(tmp_path / "agent")
    return tmp_path / "agent"


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert builder(["run", *words, "-o", "json"]) == 0, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def by_hand(directory: Path) -> dict[str, float]:
    """What the commit's own commands print, without this tool."""
    words = [sys.executable, "-m"]
    subprocess.run([*words, "agent.train", "--config", "configs/finetune.yaml"], cwd=directory, check=True, capture_output=True)
    printed = ""
    for action in ("click", "type"):
        argv = [*words, "agent.evaluate", "--action", action, "--checkpoint", "runs/last"]
        printed += subprocess.run(argv, cwd=directory, check=True, capture_output=True, text=True).stdout
    return {action: float(score) for action, score in re.findall(r"(\w+) acc=([0-9.]+)", printed)}


def test_the_oldest_commits_are_scored(agent: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    oldest, second = git(agent, "rev-list", "--reverse", "HEAD").splitlines()[:2]
    git(agent, "worktree", "add", "--quiet", "--detach", str(tmp_path / "then"), oldest)
    assert not (tmp_path / "then/builder.toml").exists()
    first = run_json(capsys, f"finetune@{oldest}", "evals=click,type")
    assert first["scores"] == by_hand(tmp_path / "then")
    assert first["checkpoint"].startswith("sha256:")
    shown = dict(line.split() for line in blocks(PAGE, "console")[0].splitlines() if line.startswith(("click", "type")))
    assert {action: f"{score:.4f}" for action, score in first["scores"].items()} == shown
    assert f"finetune@{oldest[:7]} " in blocks(PAGE, "console")[0]

    after = run_json(capsys, f"finetune@{second}", "evals=click,type")
    assert after["scores"] == pytest.approx(first["scores"], abs=0.00005)
    assert after["loss"] is not None, "it writes metrics, and these count before the settings"


def test_the_same_settings_hold_for_commits_that_write_metrics(agent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(
        agent, "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "--quiet", "--all", "--message", "Say where scores were"
    )
    assert run_json(capsys, "finetune@HEAD")["scores"].keys() == {"click", "scroll", "type"}


def test_where_each_value_comes_from(agent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oldest = git(agent, "rev-list", "--reverse", "HEAD").splitlines()[0]
    assert builder(["run", f"finetune@{oldest}", "--dry-run"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert next(line for line in lines if line[0] == "command")[-3:] == ["builder.toml", "in", "force"]
