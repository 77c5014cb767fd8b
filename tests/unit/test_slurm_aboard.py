"""What moves checkpoints inside of a job: alone, as the cluster runs it, with nothing but what was brought there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.data.checkpoints import freeze
from builder.data.open import open_root
from builder.launch.slurm import aboard, luggage


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    """As `bring_tool` has it brought."""
    directory = tmp_path / "tool"
    for name, file in luggage.files():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, directory / name)
    (directory / "__main__.py").write_text(luggage._MAIN)
    return directory


@pytest.fixture
def move(tool: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs it without any package that is installed, and with variables that must not count."""

    def run(verb: str, **told: Any) -> subprocess.CompletedProcess[str]:
        known = {"root": str(tmp_path / "data"), "endpoint": "", "region": "", "brings": {}, "takes": "checkpoint", "pattern": ""}
        (tmp_path / "job/files").mkdir(parents=True, exist_ok=True)
        (tmp_path / "job" / aboard.CARRIES).write_text(json.dumps({**known, "receipt": "step/carried.json", **told}))
        argv = [sys.executable, "-I", "-S", "-B", str(tool), verb, str(tmp_path / "job"), str(tmp_path / "tree")]
        return subprocess.run(argv, env={"PYTHONPATH": "/nowhere"}, capture_output=True, text=True, check=False)

    return run


def test_a_checkpoint_there_and_back(move: Callable[..., Any], tmp_path: Path) -> None:
    left = tmp_path / "job/files/checkpoint"
    left.mkdir(parents=True)
    (left / "weights").write_text("w")
    for _ in range(2):  # again changes nothing
        done = move("out")
        assert (done.returncode, done.stderr) == (0, "")
        receipt = json.loads((tmp_path / "job/files/step/carried.json").read_text())
        assert f"took checkpoint {receipt['digest']} (1 bytes)" in done.stdout
    for _ in range(2):
        done = move("in", brings={"initial": receipt["digest"]})
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / "job/files/initial/weights").read_text() == "w"
    (tmp_path / "job/files/initial/weights").write_text("changed")
    done = move("in", brings={"initial": receipt["digest"]})
    assert done.returncode == 1
    assert done.stdout.startswith("builder: error: ")


def test_the_newest_that_the_pattern_finds(move: Callable[..., Any], tmp_path: Path) -> None:
    for number, name in enumerate(("old", "new")):
        last = tmp_path / "tree/runs" / name / "last"
        last.mkdir(parents=True)
        (last / "weights").write_text(name)
        os.utime(last, (number, number))
    (tmp_path / "tree/runs/empty/last").mkdir(parents=True)
    assert move("out", pattern="runs/*/last").returncode == 0
    digest = json.loads((tmp_path / "job/files/step/carried.json").read_text())["digest"]
    assert digest == freeze(open_root(str(tmp_path / "data"), Path("/")), tmp_path / "tree/runs/new/last").digest


@pytest.mark.parametrize(("pattern", "what"), [("", "$BUILDER_CHECKPOINT"), ("runs/*/last", "no directory matches runs/*/last")])
def test_nothing_to_take(move: Callable[..., Any], pattern: str, what: str) -> None:
    done = move("out", pattern=pattern)
    assert (done.returncode, done.stderr) == (1, "")
    assert "the command ended well but left no checkpoint" in done.stdout
    assert what in done.stdout


def test_all_of_s3_goes_along(tool: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(tool)!r}); import boto3, builder.data.s3_large; boto3.client('s3', region_name='x')"
    done = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert sum(path.stat().st_size for path in tool.rglob("*") if path.is_file()) < 8 << 20


def test_credentials_are_those_of_the_file() -> None:
    environ = {"AWS_SHARED_CREDENTIALS_FILE": "/key", "AWS_ACCESS_KEY_ID": "other", "AWS_PROFILE": "other", "HOME": "/h"}
    aboard._only_the_file(environ, "eu-central-1")
    assert environ == {
        "AWS_SHARED_CREDENTIALS_FILE": "/key",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "HOME": "/h",
    }
