"""`builder status` and `builder show` over real runs on this machine."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder.cli.frame import run as builder
from tests.fixtures.repositories import CLEAN, Repository

pytestmark = pytest.mark.minutes  # many runs through Metaflow, seconds each

SETTINGS = """
[image]
base = "scratch"

[flow.finetune]
config = "config.yaml"
command = ["python", "train.py", "{config}"]
[flow.finetune.evals]
click = ["python", "score.py", "{checkpoint}"]
"""
TRAIN = """
import json, os, pathlib, sys
text = pathlib.Path(sys.argv[1]).read_text()
for line in range(30):
    print("line", line)
if "fail: true" in text:
    raise SystemExit(3)
pathlib.Path(os.environ["BUILDER_CHECKPOINT"], "weights").write_text(text)
pathlib.Path(os.environ["BUILDER_METRICS"]).write_text(json.dumps({"step": 1, "name": "loss", "value": 0.5}) + "\\n")
"""
SCORE = """
import json, os, pathlib
pathlib.Path(os.environ["BUILDER_METRICS"]).write_text(json.dumps({"step": 1, "name": "score", "value": 0.25}))
"""
SLEEP = """
import os, time
open(os.environ["BUILDER_METRICS"] + ".pid", "w").write(str(os.getpid()))
print("asleep", flush=True)
time.sleep(100)
"""


@dataclass
class Team:
    """The first commit's run succeeded, the second's failed."""

    repository: Repository
    green: str
    failed: str
    first: str
    second: str


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    root = tmp_path_factory.mktemp("reading")
    repository = Repository.make(root / "team")
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in [name for name in os.environ if name.startswith(("METAFLOW_", "BUILDER_STORE", "BUILDER_DATA", "BUILDER_RUN", "KUBE"))]:
            monkeypatch.delenv(name)
        for name, value in {**CLEAN, "XDG_CACHE_HOME": str(root / "cache")}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(repository.directory)
        config = "lr: 0.1\nfail: false\n"
        first = commit(repository, "First", {"builder.toml": SETTINGS, "config.yaml": config, "train.py": TRAIN, "score.py": SCORE})
        green = start("finetune@HEAD")
        second = commit(repository, "Break it", {"config.yaml": config.replace("false", "true")})
        time.sleep(1.1)  # the ledger tells times in whole seconds
        failed = start("finetune@HEAD", "lr=0.3")
        yield Team(repository, green, failed, first, second)


def commit(repository: Repository, subject: str, files: Mapping[str, str]) -> str:
    for name, text in files.items():
        (repository.directory / name).write_text(text)
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", subject)
    return repository.text("rev-parse", "HEAD")


def start(*words: str) -> str:
    """The name of a run that has ended, well or not."""
    before = set(Path(".builder/data/ledger").glob("*"))
    subprocess.run(
        [sys.executable, "-m", "builder", "run", *words], env={**os.environ, "PYTHONSAFEPATH": "1"}, capture_output=True, check=False
    )
    (made,) = set(Path(".builder/data/ledger").glob("*")) - before
    return made.name


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert builder([*words, "-o", "json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[list[str], list[str]]:
    """The lines of stdout, and of stderr."""
    capsys.readouterr()
    assert builder(list(words)) == 0, capsys.readouterr().err
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.splitlines()


def test_status_lists_the_runs_of_the_team(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    runs = said(capsys, "status")
    assert [(run["run"], run["state"], run["commit"], run["overrides"]) for run in runs[-2:]] == [
        (team.failed, "failed", team.second, ["lr=0.3"]),
        (team.green, "succeeded", team.first, []),
    ]
    assert runs[-1]["scores"] == {"click": 0.25}
    assert [run["run"] for run in said(capsys, "status", "--commit", team.first[:8])] == [team.green]
    assert [run["run"] for run in said(capsys, "status", "--mine", "--flow", "finetune", "--last", "50")][-2:] == [team.failed, team.green]
    assert said(capsys, "status", "--flow", "train") == []
    lines, _ = printed(capsys, "status", "-o", "table")
    assert lines[0].split() == ["RUN", "FLOW", "COMMIT", "SUBJECT", "WHO", "WHERE", "STATE", "SINCE"]
    assert lines[-1].split()[:3] == [team.green, "finetune", team.first[:7]]
    assert printed(capsys, "status")[0][-2:] == [team.failed, team.green], "names alone where stdout is no terminal"
    (flow,) = said(capsys, "status", "--flows")
    assert (flow["flow"], flow["parameters"], flow["evals"]) == ("finetune", {"lr": 0.1, "fail": True}, ["click"])


def test_show_explains_a_failure_and_what_changed_since_it_was_green(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    lines, notes = printed(capsys, "show", team.failed)
    assert lines[0].startswith(f"{team.failed} failed in step finetune: exit code 3")
    assert lines[1].startswith("`python train.py ")
    assert lines[2:22] == [f"  line {number}" for number in range(10, 30)]
    since = lines[next(index for index, line in enumerate(lines) if line.startswith("last green run")) :]
    assert since[0].startswith(f"last green run before it: {team.green} at {team.first[:12]}, ")
    commits = ["1 commit since:", f"  {team.second[:7]} Ada Example: Break it"]
    assert since[1:] == [*commits, "config fail: False -> True", "config lr: 0.1 -> 0.3"]
    again = f"builder run finetune@{team.second[:12]} lr=0.3 --again"
    assert notes[-2:] == [f"to repeat it exactly: {again}", f"next: builder retry {team.failed}"]
    found = said(capsys, "show", team.failed)
    assert (found["step"], found["end"], found["log"][-1]) == ("finetune", "exit code 3", "line 29")
    assert [(step["step"], step["state"]) for step in found["steps"]] == [("start", "succeeded"), ("finetune", "failed")]
    assert found["since"]["config"] == {"lr": ["0.1", "0.3"], "fail": ["False", "True"]}


def test_the_command_that_repeats_a_run_repeats_it(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    (line,), _ = printed(capsys, "show", team.green, "--repro")
    program, command, *words = shlex.split(line)
    assert (program, command) == ("builder", "run")
    again = start(*words)
    before, after = said(capsys, "show", team.green), said(capsys, "show", again)
    for key in ("identity", "config", "reference", "commit", "checkpoint", "scores", "loss"):
        assert before[key] == after[key], key
    assert after["next"] == f"builder compare {team.green} {again}"


def test_a_commit_its_image_and_its_checkpoint_lead_to_each_other(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    by_commit = said(capsys, "show", team.first)
    (image,), (checkpoint,) = by_commit["images"], by_commit["checkpoints"]
    assert team.green in [run["run"] for run in by_commit["runs"]]
    assert team.green in checkpoint["made_by"]
    assert (by_commit["kind"], by_commit["subject"], by_commit["author"]) == ("commit", "First", "Ada Example")
    assert team.first in image["tags"]
    for word, kind in ((image["digest"], "image"), (image["digest"][7:19], "image"), (checkpoint["digest"][7:19], "checkpoint")):
        found = said(capsys, "show", word)
        assert (found["kind"], found["commit"]) == (kind, team.first)
        for key in ("images", "checkpoints", "runs"):
            assert found[key] == by_commit[key], (word, key)
    assert said(capsys, "show", "finetune")["runs"][-1]["run"] == team.green


def test_words_for_revisions(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    lines, notes = printed(capsys, "show", "finetune@green")
    assert lines[0] == f"commit {team.first} Ada Example: First"
    assert notes[0].startswith(f"green of finetune is {team.first[:12]}: ")
    assert said(capsys, "show", "green")["commit"] == team.first
    team.repository.git("branch", "green", team.second)
    try:
        lines, notes = printed(capsys, "show", "finetune@green")
        assert lines[0].startswith(f"commit {team.first} "), "the word wins"
        assert "git knows green, too: to mean that, write finetune@refs/heads/green" in notes
        assert printed(capsys, "show", "finetune@refs/heads/green")[0][0].startswith(f"commit {team.second} ")
    finally:
        team.repository.git("branch", "--delete", "--force", "green")
    assert builder(["run", "finetune@last", "--dry-run"]) == 0
    assert builder(["run", "finetune@live", "--dry-run"]) == 1, "there is no cluster"


def test_a_run_whose_processes_are_gone_is_lost(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    (team.repository.directory / "train.py").write_text(SLEEP)
    environ = {**os.environ, "PYTHONSAFEPATH": "1"}
    child = subprocess.Popen([sys.executable, "-m", "builder", "run", "finetune", "fail=false"], env=environ, stderr=subprocess.DEVNULL)
    try:
        deadline, marks = time.monotonic() + 60, list[Path]()
        while not (marks and marks[0].read_text()) and time.monotonic() < deadline and child.poll() is None:
            time.sleep(0.05)
            marks = list(Path(".builder").glob("runs/*/finetune/metrics.jsonl.pid"))
        run = marks[0].parent.parent.name
        assert [(found["run"], found["state"]) for found in said(capsys, "status", "--last", "1")] == [(run, "running")]
        lines, notes = printed(capsys, "show")  # the last run of mine
        assert lines[:2] == [f"{run} is running: step finetune", "  asleep"]
        assert notes[-1] == f"next: builder logs {run} -f"
        flow = json.loads(Path(f".builder/data/ledger/{run}/run.json").read_text())["pid"]
        child.send_signal(signal.SIGKILL)
        child.wait()
        os.killpg(flow, signal.SIGKILL)  # a machine that loses power ends them all
    finally:
        child.kill()
        child.wait()
        team.repository.git("checkout", "--quiet", "train.py")
    before = {path: path.read_bytes() for path in Path(f".builder/data/ledger/{run}").iterdir()}
    assert said(capsys, "status", "--last", "1")[0]["state"] == "lost"
    lines, notes = printed(capsys, "show", run)
    assert lines[:2] == [f"{run} is lost in step finetune: it is gone, and nobody wrote its end", "  asleep"]
    assert notes[-1] == f"next: builder retry {run}"
    assert {path: path.read_bytes() for path in Path(f".builder/data/ledger/{run}").iterdir()} == before


def test_compare_runs_what_never_ran(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    third = commit(team.repository, "Mend it", {"config.yaml": "lr: 0.2\nfail: false\n"})
    lines, notes = printed(capsys, "compare", team.green, third)
    assert lines[0].split() == ["METRIC", team.green, third[:7], "CHANGE"]
    assert [line.split() for line in lines[1:3]] == [["loss", "0.5000", "-"], ["click", "0.2500", "-"]]
    assert f"{third[:7]} has no run that succeeded" in notes
    assert notes[-1] == f"next: builder compare {team.green} {third[:12]} --run"
    found = said(capsys, "compare", team.first, third, "--run")
    assert found["scores"][1]["changes"][1] == {"amount": 0.0, "within": False}
    first, other = found["sides"]
    assert team.green in first["runs"]
    assert (len(other["runs"]), other["changes"]["ahead"], other["changes"]["config"]) == (1, 2, {"lr": ["0.1", "0.2"]})
    assert (other["layers"]["new"], other["missing"]) == (1, [])
    again = said(capsys, "compare", team.first, third, "--run")
    assert again["sides"][1]["runs"] == other["runs"], "it ran by now"
    for words in (["compare", "HEAD"], ["compare", "HEAD", "main", "--on", "local"], ["compare", "HEAD", "finetune"]):
        assert builder(words) == 2
