"""Runs that start runs, on this machine: real commands, real git, and the processes that outlive the one that started them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from builder.cli.frame import run as builder
from builder.data.directory import DirectoryObjects
from builder.data.ledger import Ledger
from builder.runs.child_here import Children
from builder.runs.places import Directories
from builder.settings import load
from builder.steps.request_file import kept_request
from tests.fixtures.repositories import Repository

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
CHAINED = """
[flow.publish]
use = "finetune"
after = "finetune"
command = ["sh", "-c", "echo $BUILDER_PARENT >$BUILDER_CHECKPOINT/weights && echo 0.5 >>$BUILDER_CHECKPOINT/weights"]
[flow.publish.evals]
click = ["python", "score.py", "{checkpoint}"]

[flow.mourn]
use = "finetune"
after = "finetune"
only_if = "failed"
command = ["false"]
[flow.mourn.evals]
click = ["false"]
"""
TRAIN = """
import json, os, pathlib, sys
text = pathlib.Path(sys.argv[1]).read_text()
pathlib.Path(os.environ["BUILDER_CHECKPOINT"], "weights").write_text(text.split()[-1])
if "BUILDER_PARENT" not in os.environ:
    with open(os.environ["BUILDER_OUTBOX"], "a") as lines:
        for ask in json.loads(pathlib.Path("ask.json").read_text()):
            print(ask if isinstance(ask, str) else json.dumps(ask), file=lines)
"""
SCORE = """
import json, os, pathlib, sys
score = float(pathlib.Path(sys.argv[1], "weights").read_text().split()[-1])
pathlib.Path(os.environ["BUILDER_METRICS"]).write_text(json.dumps({"step": 1, "name": "score", "value": score}))
"""


@pytest.fixture
def team(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Repository:
    """Two commits that score as their configuration says: 0.1 and 0.2. The working directory is in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith(("METAFLOW_", "BUILDER_STORE", "BUILDER_DATA", "BUILDER_RUN"))]:
        monkeypatch.delenv(name)
    files = {"builder.toml": SETTINGS, "train.py": TRAIN, "score.py": SCORE, "ask.json": "[]"}
    repository = Repository.make(tmp_path / "team")
    commit(repository, "First", files | {"config.yaml": "lr: 0.1\n"})
    commit(repository, "Second", {"config.yaml": "lr: 0.2\n"})
    monkeypatch.chdir(repository.directory)
    return repository


def commit(repository: Repository, subject: str, files: Mapping[str, str]) -> str:
    for name, text in files.items():
        (repository.directory / name).write_text(text)
    repository.text("add", "--all")
    repository.text("commit", "--quiet", "--message", subject)
    return repository.text("rev-parse", "HEAD")


def ask(repository: Repository, *asks: object) -> str:
    return commit(repository, "Ask", {"ask.json": json.dumps(asks)})


def ledger(repository: Repository) -> Ledger:
    return Ledger(DirectoryObjects(repository.directory / ".builder/data"))


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code = builder(["run", *words, "-o", "json"])
    said = capsys.readouterr()
    assert said.out, (code, said.err)
    found: dict[str, Any] = json.loads(said.out)
    return found


def ended(repository: Repository, run: str) -> dict[str, dict[str, Any]]:
    """The records of a run that goes on in another process, when it has ended."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        records = ledger(repository).read(run)
        if "ended" in records.get("run", {}):
            return records
        time.sleep(0.1)
    log = repository.directory / f".builder/runs/{run}/start.log"
    raise AssertionError((run, records, log.read_text() if log.exists() else "no log"))


def test_a_run_starts_others(team: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    first = team.text("rev-parse", "HEAD~1")
    head = ask(team, {"start": "finetune", "set": {"lr": 0.7}}, {"start": "finetune", "rev": first[:9], "evals": ["click"]})
    parent = run_json(capsys, "finetune@HEAD")
    assert (parent["state"], parent["scores"]) == ("succeeded", {"click": 0.2})
    started = ledger(team).read(parent["run"])["finetune"]["children"]
    assert len(set(started)) == 2

    same, other = (ended(team, run) for run in started)
    assert [records["run"]["state"] for records in (same, other)] == ["succeeded", "succeeded"], (same, other)
    assert (same["run"]["commit"], same["run"]["scores"], same["run"]["overrides"]) == (head, {"click": 0.7}, ["lr=0.7"])
    assert (other["run"]["commit"], other["run"]["scores"]) == (first, {"click": 0.1})
    for records in (same, other):
        origin = records["run"]["origin"]
        assert (origin["parent"], origin["depth"], origin["main"]) == (parent["run"], 1, True)


def test_a_line_that_is_wrong_starts_nothing(team: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    ask(team, {"start": "finetune"}, {"start": "finetune", "set": {"lrr": 1}})
    result = run_json(capsys, "finetune@HEAD")
    assert result["state"] == "failed"
    assert f"{result['run']}: step finetune: line 2 of its outbox: lrr: config.yaml has no such key" in result["error"]
    assert "did you mean lr?" in result["hint"]
    record = ledger(team).read(result["run"])["finetune"]
    assert record["checkpoint"].startswith("sha256:"), "what was trained is not lost"
    assert [entry.run for entry in ledger(team).runs()] == [result["run"]]


def test_a_run_that_cannot_start_says_so_in_the_ledger(team: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    ask(team, {"start": "finetune", "rev": "no-such-branch"})
    parent = run_json(capsys, "finetune@HEAD")
    assert parent["state"] == "succeeded"
    (child,) = ledger(team).read(parent["run"])["finetune"]["children"]
    record = ended(team, child)["run"]
    assert (record["state"], record["origin"]["parent"]) == ("failed", parent["run"])
    assert "no-such-branch" in record["error"]


def test_a_flow_that_comes_after_another(team: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    commit(team, "Chain", {"builder.toml": SETTINGS + CHAINED})
    parent = run_json(capsys, "finetune@HEAD")
    (child,) = ledger(team).read(parent["run"])["run"]["children"]
    assert child.startswith("publish-from-")
    records = ended(team, child)
    assert (records["run"]["state"], records["run"]["scores"]) == ("succeeded", {"click": 0.5})
    assert records["run"]["origin"]["parent"] == parent["run"]
    weights = (team.directory / f".builder/runs/{child}/checkpoint/weights").read_text()
    assert weights.split()[0] == parent["run"]

    commit(team, "Break it", {"train.py": "raise SystemExit(3)"})
    parent = run_json(capsys, "finetune@HEAD")
    assert parent["state"] == "failed"
    (child,) = ledger(team).read(parent["run"])["run"]["children"]
    assert child.startswith("mourn-from-")
    assert ended(team, child)["run"]["state"] == "failed"


def test_nothing_is_started_twice(team: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    """What was asked for is found again: a run that goes on from another keeps its steps, and with them what they asked for."""
    ask(team, {"start": "finetune"})
    parent = run_json(capsys, "finetune@HEAD")
    records = ledger(team).read(parent["run"])
    (child,) = records["finetune"]["children"]
    before = ended(team, child)
    request = kept_request(DirectoryObjects(team.directory / ".builder/data"), parent["run"])
    children = Children(request, team.directory, Directories.of(load(team.directory, {})), os.environ)
    tell = children.watching(lambda step, record: None)
    for step, record in records.items():
        tell(step, record)
    time.sleep(1)
    assert ledger(team).read(child) == before
    assert len(list(ledger(team).runs())) == 2


OWN = """
import os
from metaflow import FlowSpec, Parameter, step
from builder import start_run

class Own(FlowSpec):
    wrong = Parameter("wrong", default="")

    @step
    def start(self):
        start_run("finetune", lr=0.7, evals=["click"])
        if self.wrong:
            with open(os.environ["BUILDER_OUTBOX"], "a") as lines:
                print(self.wrong, file=lines)
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Own()
"""
OWN_SETTINGS = """
[flow.own]
file = "own.py"
"""


def test_a_teams_own_flow_starts_runs(team: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    head = commit(team, "Add a flow", {"own.py": OWN, "builder.toml": SETTINGS + OWN_SETTINGS})
    parent = run_json(capsys, "own@HEAD")
    assert parent["state"] == "succeeded"
    (child,) = ledger(team).read(parent["run"])["run"]["children"]
    records = ended(team, child)
    assert (records["run"]["state"], records["run"]["commit"], records["run"]["scores"]) == ("succeeded", head, {"click": 0.7})
    assert records["run"]["origin"]["parent"] == parent["run"]


def test_what_an_own_flow_cannot_mean_starts_nothing(team: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    commit(team, "Add a flow", {"own.py": OWN, "builder.toml": SETTINGS + OWN_SETTINGS})
    assert builder(["run", "own@HEAD", "wrong={}"]) == 1
    said = capsys.readouterr().err
    assert "line 2 of its outbox names no flow to start" in said
    (entry,) = ledger(team).runs()
    assert (entry.records["run"]["state"], "children" in entry.records["run"]) == ("succeeded", False)
    assert "line 2 of its outbox" in entry.records["run"]["warning"]
