"""What a real MLflow server knows of a run, once however often it is told; and a server that is not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.demo.history import make_repository
from builder.model.run import Metric, RunResult, Training
from builder.settings import TrackerSettings
from builder.steps import tracker
from builder.steps.request import Origin, Request
from builder.steps.root import ledger_of
from builder.steps.tracker import track
from tests.fixtures.mlflow import Known, known_to
from tests.fixtures.requests import request_in

pytestmark = pytest.mark.minutes  # many runs through Metaflow, seconds each

VALUES = {"lr": 0.1, "model": {"layers": [1, 2], "name": "x"}, "empty": {}, 7: "seven", "a:b": "long" * 200}
TRAINING = Training("sha256:c4", (Metric(0, "loss", 2.0), Metric(5, "loss", 0.5)), 1.0)


def a_request(tmp_path: Path, server: str, run: str = "") -> Request:
    run = run or f"finetune-{uuid.uuid4().hex[:8]}"
    settings = TrackerSettings(server, f"tests {run}")
    return replace(request_in(tmp_path, tracker=settings, origin=Origin(who="ada")), run=run, subject="Stop sooner")


def a_result(request: Request) -> RunResult:
    scores = {"click": 0.5, "scroll": None}
    return RunResult(request.run, request.flow, request.commit, request.reference, "succeeded", "sha256:c0", "1d", "sha256:c4", 0.5, scores)


def told(request: Request, training: Training = TRAINING) -> tuple[str, str]:
    return track(request, VALUES, training, a_result(request))


def test_a_run_is_there_with_parameters_curve_scores_and_tags(tmp_path: Path, mlflow_server: str) -> None:
    request = a_request(tmp_path, mlflow_server)
    ledger_of(request).write(request.run, "start", {"state": "succeeded", "started": "2024-05-01T08:00:00Z"})
    link, problem = told(request)
    assert problem == ""
    (run,) = known_to(mlflow_server, request)
    assert link == f"{mlflow_server}/#/experiments/{run.experiment}/runs/{run.number}"
    assert (run.name, run.status) == (request.run, "FINISHED")
    assert run.parameters == {
        "lr": "0.1",
        "model.layers": "[1, 2]",
        "model.name": "x",
        "empty": "{}",
        "7": "seven",
        "a_b": ("long" * 200)[:500],
    }
    assert run.metrics == {"loss": [(0, 2.0), (5, 0.5)], "score.click": [(0, 0.5)]}
    named = {"run": request.run, "flow": "finetune", "commit": "a" * 40, "digest": f"sha256:{'0' * 64}", "config": "sha256:c0"}
    assert {f"builder.{name}": value for name, value in named.items()}.items() <= run.tags.items()
    assert run.tags["mlflow.source.git.commit"] == "a" * 40
    assert (run.tags["mlflow.user"], run.tags["mlflow.note.content"]) == ("ada", "Stop sooner")


def test_a_run_that_is_told_again_is_the_same(tmp_path: Path, mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    request = a_request(tmp_path, mlflow_server)
    monkeypatch.setattr(tracker._Server, "log", broken_in_the_middle(tracker._Server.log))
    assert told(request) == ("", f"MLflow was not told: {mlflow_server}: broken; look at [tracker] in the settings")
    monkeypatch.undo()
    links = {told(request)[0], told(request)[0]}
    (run,) = known_to(mlflow_server, request)
    assert links == {f"{mlflow_server}/#/experiments/{run.experiment}/runs/{run.number}"}
    assert run.metrics["loss"] == [(0, 2.0), (5, 0.5)]


def broken_in_the_middle(log: Any) -> Any:
    def half(self: Any, run: str, parameters: Any, metrics: Any) -> None:
        log(self, run, parameters, metrics[:1])
        self._client.update_run(run, "RUNNING")
        raise OSError("broken")

    return half


def test_many_parameters_and_points_and_steps_that_are_no_whole_numbers(tmp_path: Path, mlflow_server: str) -> None:
    request = a_request(tmp_path, mlflow_server)
    values = {f"key{number}": number for number in range(250)}
    losses = tuple(Metric(number / 10, "loss", 1 / (number + 1)) for number in range(2500))
    link, problem = track(request, values, Training("", losses, 1.0), a_result(request))
    assert (bool(link), problem) == (True, "")
    (run,) = known_to(mlflow_server, request)
    assert len(run.parameters) == 250
    assert [step for step, _ in run.metrics["loss"]] == list(range(2500))


def test_a_server_that_is_not_there_fails_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    link, problem = told(a_request(tmp_path, "http://127.0.0.1:1"))
    assert link == ""
    assert problem.startswith("MLflow was not told: http://127.0.0.1:1: API request to ")
    assert "builder: MLflow was not told" in capfd.readouterr().err
    assert time.monotonic() - began < 40


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    _, problem = told(a_request(tmp_path, "http://127.0.0.1:1"))
    assert problem == "MLflow was not told: [tracker] mlflow is set, but its client is not installed here; pip install 'anycommit[mlflow]'"


def test_it_is_off_by_default(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; import builder.steps.report; print('mlflow' in sys.modules)"], capture_output=True, text=True
    )
    assert done.stdout == "False\n"
    assert told(a_request(tmp_path, "")) == ("", "")


def test_a_run_on_this_machine_links_to_it(tmp_path: Path, mlflow_server: str) -> None:
    root, experiment = tmp_path / "agent", f"tests {uuid.uuid4().hex[:8]}"
    make_repository(root, os.environ["PATH"])
    with (root / "builder.toml").open("a") as file:
        file.write(f'[tracker]\nmlflow = "{mlflow_server}"\nexperiment = "{experiment}"\n')
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("BUILDER_", "METAFLOW_"))}
    environ |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONSAFEPATH": "1"}
    argv = [sys.executable, "-m", "builder", "run", "finetune@HEAD", "lr=0.2", "-o", "json"]
    done = subprocess.run(argv, cwd=root, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    (run,) = Known.all(mlflow_server, experiment)
    assert result["links"]["mlflow"] == f"{mlflow_server}/#/experiments/{run.experiment}/runs/{run.number}"
    assert (run.name, run.tags["builder.commit"], run.parameters["lr"]) == (result["run"], result["commit"], "0.2")
    assert run.metrics["score.click"] == [(0, result["scores"]["click"])]
    assert run.metrics["loss"][-1][1] == result["loss"]
    assert result["links"]["mlflow"] in Path(result["links"]["report"]).read_text()
