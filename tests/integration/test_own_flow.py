"""A team's own Metaflow flow on this machine: the team's path first, the tool behind everything, Metaflow's records in the ledger."""

from __future__ import annotations

import json
import os
import venv
from pathlib import Path
from typing import Any

import pytest

from builder.cli.executing import execute
from builder.cli.frame import run as builder
from builder.cli.making import making
from builder.cli.starting import Asked, Target, make_ready, prepare
from builder.data.directory import DirectoryObjects
from builder.data.ledger import Ledger, Records
from builder.runs.prepare import Overrides
from builder.steps.publish import published
from builder.steps.request import Origin
from tests.fixtures.repositories import Repository

SETTINGS = """
[image]
base = "scratch"
pythonpath = [".", "src"]

[flow.own]
file = "flows/own.py"
python = "PYTHON"
"""
OWN = """
import json, os, sys
import yaml, helper, beside  # the team's: at the root, in src/, next to this file
import isal  # the environment's, older than the tool's
from metaflow import FlowSpec, Parameter, step

class Own(FlowSpec):
    alpha = Parameter("alpha", default=0.5)
    word = Parameter("word", default="a b")
    broken = Parameter("broken", default="")

    @step
    def start(self):
        if not (yaml.WHOSE == helper.WHOSE == beside.WHOSE == "team" and isal.WHOSE == "environment"):
            raise AssertionError((yaml, helper, beside, isal))
        self.seen = {"path": sys.path, "cwd": os.getcwd(), "environ": dict(os.environ), "python": sys.prefix}
        self.items = [1, 2, 3]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        print("working on", self.input)
        if self.broken and self.input == 2 and not os.path.exists(self.broken):
            raise RuntimeError("two is broken")
        self.result = self.input * self.alpha
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(found.result for found in inputs)
        self.merge_artifacts(inputs, include=["seen"])
        self.next(self.end)

    @step
    def end(self):
        print(json.dumps(self.seen))
        self.scores = {"total": self.total, "words": len(self.word.split())}

if __name__ == "__main__":
    Own()
"""
HOSTILE = ("click", "builder", "workflows", "omegaconf", "msgspec", "rich", "boto3", "slack_sdk", "kubernetes")
"""Not what Metaflow itself imports on this machine: a `metaflow`, a `requests` or an `urllib3` of the team's is the one it gets."""


@pytest.fixture(name="python", scope="module")
def an_interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the team's environment: no Metaflow in it, and one package that the tool has, too."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, symlinks=True)
    (next(directory.glob("lib/python3*/site-packages")) / "isal.py").write_text("WHOSE = 'environment'\n")
    return directory / "bin" / "python"


@pytest.fixture(name="team")
def a_team(tmp_path: Path, python: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A repository whose packages raise when they are imported; the working directory is in it."""
    files = {f"{name}/__init__.py": f"raise ImportError('{name} of the team was imported')\n".encode() for name in HOSTILE}
    files |= dict.fromkeys(("yaml.py", "src/helper.py", "flows/beside.py"), b"WHOSE = 'team'\n")
    files |= {"builder.toml": SETTINGS.replace("PYTHON", str(python)).encode(), "flows/own.py": OWN.encode()}
    repository = Repository.make(tmp_path / "team")
    repository.commit(files)
    for name in [name for name in os.environ if name.startswith(("METAFLOW_", "BUILDER_", "GIT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.chdir(repository.check_out().directory)
    return repository


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert builder(["run", *words, "-o", "json"]) == 0, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def records(team: Repository, run: str) -> Records:
    return Ledger(DirectoryObjects(team.directory / ".builder/data")).read(run)


def test_an_own_flow_runs_on_the_teams_path(
    team: Repository, python: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METAFLOW_DEFAULT_DATASTORE", "s3")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "secret")
    (team.directory / "flows/own.py").write_text("raise SystemExit('the working tree ran')\n")
    result = run_json(capsys, "own@HEAD", "alpha=2", "word=a 'b' $c")

    assert (result["state"], result["flow"], result["scores"]) == ("succeeded", "own", {"total": 12.0, "words": 3.0})
    assert "@sha256:" in result["reference"]
    found = records(team, result["run"])
    assert sorted(found) == ["end", "join", "run", "start", "work"]
    assert {record["state"] for record in found.values()} == {"succeeded"}
    assert (found["work"]["tasks"], found["run"]["scores"]) == (3, {"total": 12.0, "words": 3.0})
    objects = DirectoryObjects(team.directory / ".builder/data")
    assert b"working on 2\n" in (objects.get(published(result["run"], "work", "log")) or b"")
    seen = json.loads((objects.get(f"runs/{result['run']}/end/log") or b"").splitlines()[0])
    code = f"{result['links']['directory']}/code"
    assert seen["cwd"] == code == seen["environ"]["BUILDER_WORKDIR"]
    assert seen["path"][:3] == [f"{code}/flows", code, f"{code}/src"]
    assert seen["python"] == str(python.parents[1])
    assert seen["environ"]["BUILDER_RUN"] == result["run"]
    assert "SLACK_BOT_TOKEN" not in seen["environ"]


def test_a_parameter_that_is_none(team: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert builder(["run", "own@HEAD", "alhpa=2"]) == 2
    said = capsys.readouterr().err
    assert "alhpa: own has no such parameter; it has alpha, word, broken" in said
    assert "did you mean alpha?" in said
    assert builder(["run", "own@HEAD", "--config", "x.yaml"]) == 2
    assert "has parameters and no configuration file" in capsys.readouterr().err
    assert not (team.directory / ".builder").exists()
    assert builder(["run", "own@HEAD", "alpha=many"]) == 1
    assert "many is not a valid floating point value" in capsys.readouterr().err


def test_a_dry_run(team: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert builder(["run", "own@HEAD", "alpha=2", "--dry-run"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["config.alpha", "2", "command", "line"] in lines
    assert ["command", "python", "flows/own.py"] in [line[:3] for line in lines]


def test_a_run_that_failed_goes_on_from_where_it_was(team: Repository, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    assert builder(["run", "own@HEAD", f"broken={mended}"]) == 1
    said = capsys.readouterr().err
    assert "step work failed; its last lines:" in said
    assert "RuntimeError: two is broken" in said
    failed = next((team.directory / ".builder/data/ledger").iterdir()).name
    found = records(team, failed)
    assert (found["start"]["state"], found["work"]["state"], found["run"]["state"]) == ("succeeded", "failed", "failed")

    mended.touch()
    with making(team.directory) as maker:
        origin = Origin(who="ada", retried=failed)
        ready = make_ready(maker, prepare(maker, Asked(Target("own", "HEAD"), Overrides((f"broken={mended}",))), origin))
        result = execute(maker, ready, None, wait=None)
    assert (result.state, result.scores["total"]) == ("succeeded", 3.0)
    objects = DirectoryObjects(team.directory / ".builder/data")
    assert (team.directory / ".builder/runs" / ready.request.run / "flow.log").read_text().count("Cloning") >= 1
    assert objects.get(published(ready.request.run, "work", "log"))


def test_a_metaflow_of_the_teams_own_is_the_one_that_runs(team: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    team.commit({"metaflow/__init__.py": b"raise SystemExit('the metaflow of the team')\n"})
    assert builder(["run", "own@HEAD"]) == 1
    assert "the metaflow of the team" in capsys.readouterr().err


def test_the_flow_that_init_writes_runs_at_once(team: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert builder(["init", "--flow", "count-lines", "--own"]) == 0
    capsys.readouterr()
    result = run_json(capsys, "count-lines", "limit=2")
    assert result["state"] == "succeeded"
    assert result["scores"] == {"py": 2.0, "toml": 12.0}
