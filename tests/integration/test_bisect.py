"""`builder bisect` with real runs on this machine: the example repository with a regression planted among commits that cannot be run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builder.demo.history import make_repository
from tests.fixtures.repositories import CLEAN
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.minutes, pytest.mark.timeout(1200)]  # seven runs through Metaflow, seconds each

METRIC = "click<0.9"
BREAKING = "raise RuntimeError('no')\n\n\n"
WORSE = ("sum(word in asked for word in offered)", "int(all(word in asked for word in offered))")


class Team:
    def __init__(self, directory: Path, cache: Path) -> None:
        ours = ("BUILDER_", "METAFLOW_", "AWS_", "KUBE", "PYTHON", "GIT_")
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.environ |= {**CLEAN, "GIT_AUTHOR_NAME": "Bo Example", "GIT_AUTHOR_EMAIL": "bo@example.org"}
        self.environ |= {"XDG_CACHE_HOME": str(cache), "PYTHONSAFEPATH": "1"}
        self.directory = directory
        make_repository(directory, os.environ["PATH"])

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self.directory, env=self.environ, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, subject: str, *changes: tuple[str, str, str]) -> str:
        """Each change: a file, and what in it becomes what."""
        for name, before, after in changes:
            path = self.directory / name
            text = path.read_text()
            assert before in text
            path.write_text(text.replace(before, after))
        self.git("commit", "--quiet", "--all", "--message", subject)
        return self.git("rev-parse", "HEAD")

    def start(self, *words: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "builder", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            argv,
            cwd=self.directory,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            text=True,
            start_new_session=True,
        )

    def bisect(self, *words: str, code: int = 0) -> tuple[Any, str]:
        child = self.start("bisect", "finetune", *words, "-o", "json")
        out, said = child.communicate(timeout=900)
        assert child.returncode == code, said
        return json.loads(out), said

    @property
    def runs(self) -> set[str]:
        return {path.name for path in (self.directory / ".builder/data/ledger").glob("*")}


def test_a_planted_regression(tmp_path: Path) -> None:
    team = Team(tmp_path / "agent", tmp_path / "cache")
    good = team.git("rev-parse", "HEAD")
    team.commit("Explain it", ("README.md", "#", "##"))
    broken = team.commit("Break the training", ("agent/train.py", "def main():", BREAKING + "def main():"))
    mended = team.commit("Train again", ("agent/train.py", BREAKING, ""))
    planted = team.commit("Count whole labels alone", ("agent/features.py", *WORSE), ("configs/finetune.yaml", "epochs: 8", "epochs: 2"))
    bad = team.commit("Explain more", ("README.md", "##", "###"))
    words = ("--good", good, "--metric", METRIC, "--yes")

    first = team.start("bisect", "finetune", *words)
    (run,) = until(lambda: team.runs)
    until(lambda: (team.directory / f".builder/data/ledger/{run}/finetune.json").exists())
    os.killpg(first.pid, signal.SIGINT)
    _, said = first.communicate(timeout=60)
    assert (first.returncode, "1 run goes on; `builder stop" in said) == (130, True), said

    found, said = team.bisect(*words)
    assert f"{run} goes on already, on local" in said or run in found["tested"][-1]["values"], "it may have ended by now"
    assert run not in found["started"]
    assert (found["sure"], found["suspects"], found["commit"]["before"]) == (True, [planted], mended)
    assert (found["commit"]["author"], found["commit"]["subject"]) == ("Bo Example <bo@example.org>", "Count whole labels alone")
    verdicts = {commit["commit"]: commit["verdict"] for commit in found["tested"]}
    assert verdicts == {good: "good", mended: "good", planted: "bad", bad: "bad"} | ({broken: "skip"} if broken in verdicts else {})
    assert team.runs == {run, *found["started"]}, "nothing ran twice"
    _, after = found["comparison"]["sides"]
    assert after["changes"]["config"] == {"epochs": ["8", "2"]}

    known = team.runs
    plan, _ = team.bisect("--good", good, "--bad", planted, "--metric", "loss>0.3", "--dry-run")
    assert (plan["cost"]["low"], plan["cost"]["seconds"] > 0) == (0, True), "every run tells its loss, too"
    assert team.runs == known
