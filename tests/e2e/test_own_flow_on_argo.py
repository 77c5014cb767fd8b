"""A team's own flow on a real Argo, in a repository that holds packages of names that Metaflow and this tool use, too."""

from __future__ import annotations

import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_deploy import pause, runs_of
from tests.fixtures.team import Team, digest_of
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

HOSTILE = ("click", "builder", "workflows", "omegaconf", "msgspec", "rich", "slack_sdk", "isal")
FLOW = """
import json, os, sys
import yaml, boto3, beside  # the team's
from agent import features  # and its real code
from metaflow import FlowSpec, Parameter, step

class Own(FlowSpec):
    alpha = Parameter("alpha", default=0.5)
    word = Parameter("word", default="a b")
    broken = Parameter("broken", default=False)

    @step
    def start(self):
        assert yaml.WHOSE == beside.WHOSE == boto3.WHOSE == "team", (yaml, beside, boto3)
        self.names = {name: os.environ[name] for name in ("BUILDER_RUN", "BUILDER_COMMIT", "BUILDER_WORKDIR")}
        self.path = sys.path
        self.config = open(os.path.join(os.environ["BUILDER_WORKDIR"], "configs/finetune.yaml")).read()
        self.items = [1, 2]
        self.next(self.work_it, foreach="items")

    @step
    def work_it(self):
        print("working on", self.input)
        if self.broken and self.input == 2:
            raise RuntimeError("two is broken")
        self.result = self.input * self.alpha
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(found.result for found in inputs)
        self.merge_artifacts(inputs, include=["names", "path", "config"])
        self.next(self.end)

    @step
    def end(self):
        print(json.dumps({"names": self.names, "path": self.path, "config": self.config}))
        self.scores = {"total": self.total, "words": len(self.word.split()), "goal": len(features.words("a_b c"))}

if __name__ == "__main__":
    Own()
"""
SETTINGS = """
[flow.own]
file = "flows/own.py"
"""


@pytest.fixture(name="hostile")
def a_hostile_repository(team: Team) -> Team:
    """It has a boto3 of its own, which works: Metaflow keeps its artifacts with it."""
    boto3 = Path(str(import_module("boto3").__file__)).parent
    shutil.copytree(boto3, team.repository / "boto3", ignore=shutil.ignore_patterns("__pycache__", "examples"))
    files = {f"{name}/__init__.py": f"raise ImportError('{name} of the team was imported')\n" for name in HOSTILE}
    files |= dict.fromkeys(("yaml.py", "flows/beside.py"), "WHOSE = 'team'\n")
    files |= {"flows/own.py": FLOW, "boto3/__init__.py": (boto3 / "__init__.py").read_text() + "\nWHOSE = 'team'\n"}
    team.settings(SETTINGS)
    team.commit("Add a flow of our own", files)
    return team


def log(team: Team, run: str, step: str) -> str:
    return (team.objects.get(f"runs/{run}/{step}/log") or b"").decode()


def test_an_own_flow_runs_and_is_scored(hostile: Team) -> None:
    here = hostile.json("run", "own@HEAD", "alpha=2", "word=it's a 'b' c", "--on", "local")
    done = hostile.run("run", "own@HEAD", "alpha=2", "word=it's a 'b' c", "--on", "argo", "--wait", "--again", "-o", "json")
    assert done.returncode == 0, done.stderr
    there: dict[str, Any] = json.loads(done.stdout)
    assert (there["state"], there["scores"]) == ("succeeded", {"goal": 3.0, "total": 6.0, "words": 4.0})
    assert [there[key] for key in ("scores", "config", "identity")] == [here[key] for key in ("scores", "config", "identity")]
    assert [line for line in done.stderr.splitlines() if "work_it succeeded" in line], "steps are told while it runs"

    run = there["run"]
    records = hostile.ledger.read(run)
    assert {step: record["state"] for step, record in records.items() if step != "run"} == dict.fromkeys(
        ("start", "work_it", "join", "end", "exit"), "succeeded"
    )
    assert (records["work_it"]["tasks"], records["start"]["flow"]) == (2, "own")
    assert {"working on 1", "working on 2"} <= set(log(hostile, run, "work_it").splitlines())
    seen = json.loads(next(line for line in log(hostile, run, "end").splitlines() if line.startswith("{")))
    assert seen["names"] == {"BUILDER_RUN": run, "BUILDER_COMMIT": hostile.git("rev-parse", "HEAD"), "BUILDER_WORKDIR": "/code"}
    assert (seen["path"][-1], [entry for entry in seen["path"] if entry.startswith("/code")]) == ("/opt/builder", ["/code/flows", "/code"])
    assert "epochs: 8" in seen["config"]
    steps, _ = hostile.mains(run)
    assert {digest_of(status) for status in steps} == {there["reference"].rpartition("@")[2]}

    failed = hostile.run("run", "own@HEAD", "broken=True", "--on", "argo", "--wait")
    assert failed.returncode == 1
    assert "step work_it failed; its last lines:" in failed.stderr
    assert "RuntimeError: two is broken" in failed.stderr
    unknown = hostile.run("run", "own@HEAD", "alhpa=2", "--on", "argo")
    assert (unknown.returncode, "did you mean alpha?" in unknown.stderr) == (2, True)


def test_the_flow_that_init_writes_is_the_same_everywhere(team: Team, docker_host: str) -> None:
    team.ok("init", "--flow", "count-lines", "--own")
    team.commit("Add a flow")
    here = team.json("run", "count-lines@HEAD", "limit=2", "--on", "local")
    assert here["scores"].keys() == {"py", "toml"}
    docker = team.json("run", "count-lines@HEAD", "limit=2", "--on", "docker", "--again", DOCKER_HOST=docker_host)
    argo = team.json("run", "count-lines@HEAD", "limit=2", "--on", "argo", "--wait", "--again")
    for there in (docker, argo):
        assert [there[key] for key in ("state", "scores", "identity")] == [here[key] for key in ("state", "scores", "identity")]


def test_a_nightly_of_an_own_flow_is_known_without_a_starter(team: Team) -> None:
    team.ok("init", "--flow", "count", "--own")
    team.settings('\n[schedule.nightly]\nflow = "count"\ncron = "* * * * *"\nset = ["limit=2"]\n')
    commit = team.commit("Count every night")
    team.ok("deploy", "count")
    run = str(until(lambda: runs_of(team, "nightly"), 90)[0])
    pause(team, "nightly")
    until(lambda: team.ledger.read(run), 120)
    (entry,) = team.json("status", "--flow", "count")
    assert (entry["run"], entry["state"], entry["commit"]) == (run, "running", commit)
    assert team.wait(run) == "Succeeded"
    records = team.ledger.read(run)
    assert "run" not in records
    assert {step: record["state"] for step, record in records.items()} == dict.fromkeys(
        ("start", "count", "join", "end", "exit"), "succeeded"
    )
    origin = records["start"]["origin"]
    assert (origin["schedule"], records["start"]["overrides"]) == ("nightly", ["limit=2"])
    shown = team.json("show", run)
    assert (shown["state"], shown["scores"].keys()) == ("succeeded", {"py", "toml"})
