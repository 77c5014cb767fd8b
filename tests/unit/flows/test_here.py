"""The launcher `here`: a process of its own, with the team's path alone."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from builder.errors import ProgramMissingError
from builder.launch import Finished, Job, finish
from builder.launch.here import Here, environment, executable

INHERITED = {
    "PATH": os.environ["PATH"],
    "HOME": "/home/ada",
    "METAFLOW_USER": "x",
    "METAFLOW_RUN_ID": "1",
    "BUILDER_STORE_TO": "x",
    "PYTHONPATH": "/opt/builder",
    "PYTHONSAFEPATH": "1",
    "PYTHONUNBUFFERED": "x",
}


def job(tmp_path: Path, *argv: str, **fields: object) -> Job:
    return Job("train", argv, tmp_path, tmp_path / "out" / "log", **fields)  # type: ignore[arg-type]


def test_nothing_of_the_tool_reaches_the_command(tmp_path: Path) -> None:
    asked = job(tmp_path, "python", pythonpath=(".", "src"), env={"SEED": "1"}, variables={"BUILDER_METRICS": "m"})
    found = environment(asked, INHERITED)
    path = f"{tmp_path}:{tmp_path}/src"
    assert found == {
        "PATH": INHERITED["PATH"],
        "HOME": "/home/ada",
        "SEED": "1",
        "BUILDER_METRICS": "m",
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
    }


def test_without_a_python_path_none_is_set(tmp_path: Path) -> None:
    assert "PYTHONPATH" not in environment(job(tmp_path, "python"), INHERITED)


def test_the_images_python_path_comes_after_the_settings_one(tmp_path: Path) -> None:
    asked = job(tmp_path, "python", pythonpath=("src",), env={"PYTHONPATH": "/opt/lib"})
    assert environment(asked, INHERITED)["PYTHONPATH"] == f"{tmp_path}/src:/opt/lib"


def test_python_means_the_chosen_interpreter(tmp_path: Path) -> None:
    assert executable(job(tmp_path, "python3", "-m", "x", python="/v/bin/python")) == ("/v/bin/python", "-m", "x")
    assert executable(job(tmp_path, "torchrun", python="/v/bin/python")) == ("torchrun",)
    assert environment(job(tmp_path, "torchrun", python="/v/bin/python"), INHERITED)["PATH"].startswith("/v/bin:")


def test_the_command_runs_in_the_tree_and_writes_its_log(tmp_path: Path) -> None:
    code = (
        "import json, os, sys; print(json.dumps([os.getcwd(), sys.path, sorted(os.environ)])); print('bad', file=sys.stderr); sys.exit(3)"
    )
    asked = job(tmp_path, "python", "-c", code, pythonpath=(".",), python=sys.executable)
    assert finish(Here(INHERITED), asked) == Finished(3)
    first, second = asked.log.read_text().splitlines()
    cwd, path, names = json.loads(first)
    assert (cwd, second) == (str(tmp_path), "bad")
    assert str(tmp_path) in path
    assert not [name for name in names if name.startswith(("METAFLOW_", "BUILDER_", "PYTHONS"))]


def test_a_signal_is_a_negative_code(tmp_path: Path) -> None:
    assert finish(Here(INHERITED), job(tmp_path, "sh", "-c", "kill -9 $$")) == Finished(-9)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProgramMissingError, match="no-such-program"):
        finish(Here(INHERITED), job(tmp_path, "no-such-program"))


def test_an_interrupted_wait_ends_the_command(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    asked = job(tmp_path, "sh", "-c", f"echo $$ > {mark}; exec sleep 60")

    def interrupt() -> None:
        while not mark.exists() or not mark.read_text().strip():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        finish(Here(INHERITED), asked)
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)
