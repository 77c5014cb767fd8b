"""How a step's command is run: its time limit, its log on stdout and in the data root, what it must not see."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from builder.data.directory import DirectoryObjects
from builder.errors import LaunchError
from builder.launch import Finished, Job, finish
from builder.launch.here import Here
from builder.runs.log_filter import BetweenMarkers, filtered
from builder.settings import LaunchSettings, NotifySettings
from builder.steps.command import run_command
from builder.steps.markers import BEGINS, ENDS
from builder.steps.request import Place
from tests.fixtures.requests import request_in


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    request = request_in(tmp_path, launch={"finetune": LaunchSettings(timeout="1s")})
    with pytest.raises(LaunchError) as caught:
        run_command(request, "finetune", python("import time; print('began', flush=True); time.sleep(60)"), {})
    assert caught.value.end == "timeout"
    assert "the time that the settings give it" in caught.value.message
    assert "  began" in caught.value.message


def test_the_limit_of_evaluations_holds_for_each(tmp_path: Path) -> None:
    request = request_in(tmp_path, launch={"evaluate": LaunchSettings(timeout="1h"), "default": LaunchSettings(timeout="2h")})
    assert request.launching("evaluate-click").timeout == "1h"
    assert request.launching("finetune").timeout == "2h"


@pytest.mark.parametrize(("code", "end"), [("raise SystemExit(3)", "exit:3"), ("import os; os.kill(os.getpid(), 9)", "killed")])
def test_log_and_metrics_are_kept_however_it_ends(tmp_path: Path, code: str, end: str) -> None:
    metric = json.dumps({"step": 1, "name": "loss", "value": 0.5})
    wrote = f"import os; print('hello', flush=True); open(os.environ['BUILDER_METRICS'], 'w').write('{metric}\\n'); "
    with pytest.raises(LaunchError) as caught:
        run_command(request_in(tmp_path), "finetune", python(wrote + code), {})
    assert caught.value.end == end
    objects = DirectoryObjects(tmp_path / "data")
    assert objects.get("runs/run-1/finetune/log") == b"hello\n"
    assert json.loads(objects.get("runs/run-1/finetune/metrics.jsonl") or b"")["value"] == 0.5


def test_metrics_of_the_try_before_are_forgotten(tmp_path: Path) -> None:
    request = request_in(tmp_path)
    line = 'import os; open(os.environ[\'BUILDER_METRICS\'], \'a\').write(\'{"step": 1, "name": "loss", "value": 1}\\n\')'
    for _ in range(2):
        assert len(run_command(request, "finetune", python(line), {}).metrics) == 1


def test_what_a_command_writes_is_echoed_as_it_comes(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    code = "import sys, time; print('one', flush=True); sys.stderr.buffer.write(b'\\xff two\\n')"
    place = Place(str(tmp_path), str(tmp_path / "out"), echo=True)
    ended = run_command(request_in(tmp_path, place=place), "finetune", python(code), {})
    assert ended.log.read_bytes() == b"one\n\xff two\n"
    echoed = capfdbinary.readouterr().out
    assert echoed == f"{BEGINS}\n".encode() + b"one\n\xff two\n" + f"{ENDS}\n".encode()
    assert b"".join(filtered([b"Setting up task environment.\n", echoed], BetweenMarkers())) == ended.log.read_bytes()


def test_a_process_left_behind_does_not_hold_up_the_step(tmp_path: Path) -> None:
    job = Job("x", ("sh", "-c", "sleep 30 & echo done"), tmp_path, tmp_path / "log")
    import time

    began = time.monotonic()
    assert finish(Here({"PATH": "/usr/bin:/bin"}, echo=True), job) == Finished(0)
    assert time.monotonic() - began < 20
    assert (tmp_path / "log").read_text() == "done\n"


def test_secrets_for_notices_are_none_of_the_commands_business(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLACK_WEBHOOK_URL", "MY_TOKEN", "ARGO_TEMPLATE", "OTHER"):
        monkeypatch.setenv(name, "x")
    request = request_in(tmp_path, notify=NotifySettings(token_env="MY_TOKEN"))
    ended = run_command(request, "finetune", python("import os; print(sorted(os.environ))"), {})
    seen = ended.log.read_text()
    assert "OTHER" in seen
    assert not [name for name in ("SLACK_WEBHOOK_URL", "MY_TOKEN", "ARGO_TEMPLATE") if name in seen]
