"""`builder demo`: the images of six commits, two runs, and a directory that is kept or not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from builder.cli.demo import _say_next
from builder.cli.frame import run as builder
from builder.model.tree import Commit


def test_the_demo_in_a_directory_that_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("BUILDER_STORE_TO", "registry.example.com/not/the/demos")
    kept = tmp_path / "agent"
    assert builder(["demo", "--dir", str(kept)]) == 0
    said = capfd.readouterr()
    lines = said.out.splitlines()
    images = [line for line in lines if line.endswith((" s", " ms"))]
    assert len(images) == 6
    assert all(" 0 B " not in line for line in images[1:]), "each image shares layers with the one before"
    scores = {
        line.rsplit(maxsplit=2)[0]: [float(word) for word in line.split()[-2:]] for line in lines if line.startswith(("loss", "score"))
    }
    assert sorted(scores) == ["loss", "score click", "score scroll", "score type"]
    before, after = scores["score type"]
    assert after > before + 0.3, "the last commit mends what type suffered from"
    assert scores["loss"][1] < scores["loss"][0]
    assert f"next: cd {kept} && builder run finetune@" in said.err
    assert "\n\n\n" not in said.err
    head = subprocess.run(["git", "status", "--porcelain", "--branch"], cwd=kept, capture_output=True, text=True, check=True).stdout
    assert head == "## main\n"
    assert builder(["demo", "--dir", str(kept)]) == 2
    assert "is there already, and not empty" in capfd.readouterr().err


def test_the_demos_directory_is_removed_when_it_fails(tmp_path: Path) -> None:
    environ = {**os.environ, "TMPDIR": str(tmp_path), "PATH": "/nowhere"}
    done = subprocess.run([sys.executable, "-m", "builder", "demo"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: git is not installed")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert builder(["demo", "--dir", "/proc/x"]) == 2
    assert capsys.readouterr().err.startswith("error: cannot write into /proc/x: ")


def test_the_next_command_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    commit = Commit("a" * 40, "b" * 40, (), 0, "Subject", "Ada")
    _say_next(Path("a b"), [commit] * 3)
    assert capsys.readouterr().err == "next: cd 'a b' && builder run finetune@aaaaaaa lr=0.1\n"
