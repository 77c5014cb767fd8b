"""`builder status`, `show` and the word `live` over runs on a real Argo: while they wait, when they failed, when they are gone."""

from __future__ import annotations

import json

import pytest

from builder.data.ledger import RUN, now
from builder.deploy.render import API
from tests.fixtures.records import facts
from tests.fixtures.team import Team
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

SETTINGS = """
[queue.finetune]
at_once = 1
[schedule.nightly]
flow = "finetune"
cron = "0 2 * * *"
[links]
logs = "https://logs.test/{workflow}"
"""
WAITING = "for the queue of finetune (1 of 1 running)"


def states(team: Team) -> dict[str, tuple[str, str]]:
    return {run["run"]: (run["state"], run["detail"]) for run in team.json("status")}


def broken(text: str) -> str:
    """A training that prints thirty lines and fails."""
    return f"for line in range(30):\n    print('line', line)\nraise SystemExit(7)\n{text}"


def test_waiting_failing_and_gone(team: Team) -> None:
    team.settings(SETTINGS)
    live = team.git("rev-parse", "HEAD")
    team.ok("deploy", "--commit", "HEAD")
    breaking = team.commit("Break it", {"agent/train.py": broken((team.repository / "agent/train.py").read_text())})

    first = team.json("run", f"finetune@{live}", "--on", "argo", "--detach")["run"]
    until(lambda: states(team)[first][0] == "running")
    started = team.run("run", f"finetune@{breaking}", "--on", "argo", "--detach")
    second = started.stdout.strip()
    assert started.returncode == 0, started.stderr
    assert "queued: all places are taken" in started.stderr
    until(lambda: states(team)[second] == ("waiting", WAITING))
    assert f"waiting {WAITING}" in team.ok("show", second)
    assert "https://logs.test/" in team.ok("status", "-o", "table")

    found = team.json("show", "finetune@live")
    assert (found["commit"], found["templates"][0]["schedules"]) == (live, ["nightly"])
    assert [(schedule["schedule"], schedule["commit"]) for schedule in team.json("show", "finetune")["live"]] == [("nightly", live)]
    assert team.wait(first) == "Succeeded"

    third = team.json("run", f"finetune@{live}", "lr=0.4", "--on", "argo", "--detach")["run"]
    team.cluster.output("--namespace", team.namespace, "delete", "workflow", third)
    assert team.wait(second) == "Failed"
    until(lambda: "exit" in team.ledger.read(second))
    after = {run: state for run, (state, _) in states(team).items()}
    assert after == {first: "succeeded", second: "failed", third: "lost"}

    shown = team.json("show", second)
    assert (shown["state"], shown["step"], shown["end"], shown["next"]) == ("failed", "finetune", "exit code 7", f"builder retry {second}")
    assert shown["log"] == [f"line {number}" for number in range(10, 30)]
    assert (shown["baseline"], shown["links"]["logs"]) == ({}, f"https://logs.test/{second}"), "nothing was green when it began"
    assert shown["repeat"] == f"builder run finetune@{breaking[:12]} --on argo --again"
    assert team.json("show", "finetune@green")["commit"] == live
    compared = team.json("compare", live, breaking)
    assert ([side["runs"] for side in compared["sides"]], compared["sides"][1]["changes"]["ahead"]) == ([[first], []], 1)


def test_what_cannot_be_pulled_and_a_cluster_that_cannot_be_asked(team: Team) -> None:
    """The workflow is made by hand: what is tested is how Argo tells of it."""
    base = team.ok("image").strip().rpartition("@")[0]
    container = {"image": f"{base}@sha256:{'0' * 64}", "command": ["true"]}
    spec = {"entrypoint": "main", "serviceAccountName": "builder-run", "templates": [{"name": "main", "container": container}]}
    manifest = {"apiVersion": API, "kind": "Workflow", "metadata": {"name": "by-hand", "namespace": team.namespace}, "spec": spec}
    team.ledger.write("by-hand", RUN, {**facts(on="argo", namespace=team.namespace), "state": "submitted", "started": now()})
    team.cluster.output("create", "--filename=-", stdin=json.dumps(manifest))
    state, detail = until(lambda: states(team)["by-hand"] if "Pull" in states(team)["by-hand"][1] else None)
    assert (state, detail.startswith(("by-hand: ErrImagePull", "by-hand: ImagePullBackOff"))) == ("running", True), detail
    done = team.run("status", "-o", "json", KUBECONFIG="/nowhere/config")
    assert done.returncode == 0
    assert "warning: runs on Argo are shown as the ledger has them: no cluster" in done.stderr
    assert '"state": "submitted"' in done.stdout
