"""Metaflow's own service hears of runs where the settings name one, and of none otherwise, whatever a person's Metaflow is set to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.cli.frame import run as builder
from builder.demo.history import make_repository
from tests.fixtures.metaflow_service import MetaflowService, metaflow_service

pytestmark = pytest.mark.minutes  # many runs through Metaflow, seconds each

OWN = """
from metaflow import FlowSpec, step

class Own(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        self.scores = {"total": 2.0}

if __name__ == "__main__":
    Own()
"""


@pytest.fixture
def service() -> Iterator[MetaflowService]:
    with metaflow_service() as service:
        yield service


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo's; the working directory is in it."""
    root = tmp_path / "agent"
    make_repository(root, os.environ["PATH"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(root)
    return root


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert builder(["run", *words, "-o", "json"]) == 0, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def set_up(repository: Path, text: str) -> None:
    with (repository / "builder.toml").open("a") as file:
        file.write(text)


def test_a_run_is_told_to_the_service(repository: Path, service: MetaflowService, capsys: pytest.CaptureFixture[str]) -> None:
    set_up(repository, f'[metaflow]\nservice = "{service.url}"\n')
    result = run_json(capsys, "finetune@HEAD", "evals=click")
    assert (result["state"], set(result["scores"])) == ("succeeded", {"click"})
    (run,) = [body for path, body in service.told if path == "/flows/Finetune/run"]
    assert {f"run:{result['run']}", f"commit:{result['commit']}"} <= set(run["tags"])
    steps = [path.split("/")[6] for path in service.paths("task")]
    assert [step for step in steps if not step.startswith("_")] == ["start", "finetune", "freeze", "evaluate", "join", "end"]
    assert any("/steps/end/" in path for path in service.paths("artifact"))


def test_a_teams_own_flow_is_told_too_and_still_scored(
    repository: Path, service: MetaflowService, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(repository, f'[metaflow]\nservice = "{service.url}"\n[flow.own]\nfile = "own.py"\n')
    (repository / "own.py").write_text(OWN)
    assert run_json(capsys, "own")["scores"] == {"total": 2.0}
    assert service.paths("run") == ["/flows/Own/run"]


def test_a_persons_own_settings_take_no_part(
    repository: Path, service: MetaflowService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = {"METAFLOW_SERVICE_URL": service.url, "METAFLOW_DEFAULT_METADATA": "service", "METAFLOW_DEFAULT_DATASTORE": "s3"}
    (tmp_path / "home").mkdir()
    (tmp_path / "home/config.json").write_text(json.dumps(config))
    monkeypatch.setenv("METAFLOW_HOME", str(tmp_path / "home"))
    for name, value in config.items():
        monkeypatch.setenv(name, value)
    set_up(repository, '[flow.own]\nfile = "own.py"\n')
    (repository / "own.py").write_text(OWN)
    assert run_json(capsys, "own")["scores"] == {"total": 2.0}
    assert run_json(capsys, "finetune@HEAD", "evals=click")["state"] == "succeeded"
    assert service.told == []
