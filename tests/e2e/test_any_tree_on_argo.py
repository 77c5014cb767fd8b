"""Trees that are hard to run, on a real Argo: one with packages of unlucky names, one that is not committed, one older than the tool."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.documented import blocks
from tests.fixtures.team import Team

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

HOSTILE = ("metaflow", "click", "builder", "workflows", "boto3", "kubernetes", "slack_sdk", "omegaconf", "msgspec", "urllib3", "rich")
YAML = """
import builtins
WHOSE = "team"

def safe_load(text):
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line and not line.startswith("#"))
"""
TRAIN = """
import os, runpy, sys
import yaml

assert yaml.WHOSE == "team", yaml
with open(sys.argv[-1]) as file:
    print("epochs", yaml.safe_load(file.read())["epochs"], "with the yaml of", yaml.WHOSE, "at", os.getcwd())
runpy.run_module("agent.train", run_name="__main__")
"""


def log(team: Team, run: str, step: str) -> str:
    return (team.objects.get(f"runs/{run}/{step}/log") or b"").decode()


def test_a_repository_of_unlucky_names(team: Team) -> None:
    files = {f"{name}/__init__.py": f"raise ImportError('{name} of the team was imported')\n" for name in HOSTILE}
    files |= {"requests.py": "raise ImportError('requests of the team was imported')\n", "yaml.py": YAML, "train.py": TRAIN}
    settings = (team.repository / "builder.toml").read_text()
    command = '["python", "-m", "agent.train", "--config", "{config}"]'
    assert command in settings
    files["builder.toml"] = settings.replace(command, '["python", "train.py", "--config", "{config}"]')
    team.commit("Call packages as others do", files)
    here = team.json("run", "finetune@HEAD", "evals=click", "--on", "local")
    there = team.json("run", "finetune@HEAD", "evals=click", "--on", "argo", "--wait", "--again")
    same = ("state", "scores", "loss", "checkpoint", "identity")
    assert [there[key] for key in same] == [here[key] for key in same]
    assert there["scores"].keys() == {"click"}
    assert "epochs 8 with the yaml of team at /code" in log(team, there["run"], "finetune")


def test_my_tree_as_it_is(team: Team, tmp_path: Path) -> None:
    """A colleague has what I ran, though I never pushed it."""
    remote, colleague = tmp_path / "remote.git", tmp_path / "colleague"
    team.git("init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    team.git("remote", "add", "origin", str(remote))
    team.git("push", "--quiet", "origin", "main")
    config = (team.repository / "configs/finetune.yaml").read_text()
    train = (team.repository / "agent/train.py").read_text()
    changed = train.replace("from agent import config", "from agent import news, config", 1)
    assert changed != train
    team.write({"configs/finetune.yaml": config.replace("epochs: 8", "epochs: 2"), "agent/train.py": changed})
    team.write({"agent/news.py": "print('news, not committed')\n"})

    done = team.run("run", "finetune", "evals=click", "--on", "argo", "--wait", "-o", "json")
    assert done.returncode == 0, done.stderr
    first = done.stderr.splitlines()[0]
    found = re.fullmatch(r"finetune@wip-([0-9a-f]{7}) \(main \+ 2 changed, 1 new file\) on argo", first)
    assert found, first
    result = json.loads(done.stdout)
    assert (result["state"], result["commit"][:7]) == ("succeeded", found[1])
    assert "news, not committed" in log(team, result["run"], "finetune")
    assert len(json.loads(team.objects.get(f"runs/{result['run']}/report.json") or b"")["losses"]) == 2
    assert team.git("status", "--porcelain") == "M agent/train.py\n M configs/finetune.yaml\n?? agent/news.py"

    assert [found.key for found in team.objects.list("bundles/")] == [f"bundles/{result['commit']}"]
    subprocess.run(["git", "clone", "--quiet", str(remote), str(colleague)], env=team.environ, check=True)
    theirs = team.ok("run", f"finetune@wip-{found[1]}", "--repo", str(colleague), "--dry-run", "-o", "json")
    assert json.loads(theirs)["commit"] == result["commit"]


def test_the_commit_from_before_the_tool(team: Team) -> None:
    oldest = team.git("rev-list", "--reverse", "HEAD").splitlines()[0]
    assert "builder.toml" not in team.git("ls-tree", "--name-only", oldest).split()
    settings = (team.repository / "builder.toml").read_text()
    (flow,) = blocks("how-to/old-commits.md", "toml")
    file = '{ file = "out/eval.json", path = "$.click.acc" }'  # in a pod of its own there is nobody else who writes it
    flow = flow.replace('{ log = "click acc=([0-9.]+)" }', file)
    assert file in flow
    team.write({"builder.toml": settings[: settings.index("[flow.finetune]")] + flow})
    here = team.json("run", f"finetune@{oldest}", "evals=click", "--on", "local")
    there = team.json("run", f"finetune@{oldest}", "evals=click", "--on", "argo", "--wait", "--again")
    assert (there["state"], there["commit"], there["scores"].keys()) == ("succeeded", oldest, {"click"})
    assert there["scores"] == here["scores"]
    assert f"click acc={there['scores']['click']:.4f}" in log(team, there["run"], "evaluate-click")
