"""`builder run finetune@<sha>` on a real Argo: pinned pods, scores read back, the same as on this machine."""

from __future__ import annotations

import json

import pytest

from tests.fixtures.team import Team, digest_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]


def test_two_commits_at_once(team: Team) -> None:
    first = team.git("rev-parse", "HEAD")
    config = (team.repository / "configs/finetune.yaml").read_text()
    second = team.commit("Stop sooner", {"configs/finetune.yaml": config.replace("epochs: 8", "epochs: 1")})
    printed = {sha: team.ok("image", "--commit", sha).strip() for sha in (first, second)}
    runs = {sha: team.json("run", f"finetune@{sha}", "--on", "argo", "--detach")["run"] for sha in (first, second)}
    assert {team.wait(run) for run in runs.values()} == {"Succeeded"}

    reports = {sha: json.loads(team.objects.get(f"runs/{run}/report.json") or b"") for sha, run in runs.items()}
    assert reports[first]["scores"].keys() == {"click", "scroll", "type"}
    assert reports[first]["scores"] != reports[second]["scores"]
    handlers = set()
    for sha, run in runs.items():
        assert reports[sha]["reference"] == printed[sha]
        steps, handler = team.mains(run)
        assert len(steps) == 8, "start, finetune, freeze, three evaluations, join, end"
        assert {digest_of(status) for status in steps} == {printed[sha].rpartition("@")[2]}
        handlers.add(digest_of(handler))
    assert len(handlers) == 1, "what looks after the end runs in an image of base, dependencies and tool, the same for both"
    assert handlers.isdisjoint({reference.rpartition("@")[2] for reference in printed.values()})


def test_the_same_on_this_machine_in_docker_and_on_argo(team: Team, docker_host: str) -> None:
    team.settings('\n[run.docker]\nnetwork = "host"\n')
    here = team.json("run", "finetune@HEAD", "lr=0.3", "--on", "local")
    inside = team.json("run", "finetune@HEAD", "lr=0.3", "--on", "docker", "--again", DOCKER_HOST=docker_host)
    there = team.json("run", "finetune@HEAD", "lr=0.3", "--on", "argo", "--wait", "--again")
    for key in ("state", "scores", "loss", "config", "identity", "checkpoint", "reference"):
        assert there[key] == inside[key] == here[key], key
    assert here["state"] == "succeeded"
    again = team.run("run", "finetune@HEAD", "lr=0.3", "--on", "argo", "--wait")
    assert again.returncode == 0
    assert f"{there['run']} did the very same already" in again.stderr
