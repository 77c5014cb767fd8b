"""Back and forth on a real cluster: a nightly that is rolled back, what its history says, and a directory that a cluster follows."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from builder.cluster.kubernetes import connect
from builder.deploy.render import released_request
from builder.deploy.rollback import Rollback, roll_back
from builder.errors import ClusterError
from builder.model.run import RunResult
from builder.steps import green
from builder.steps.request import Origin
from tests.fixtures.proxy import Proxy, kubeconfig_through_proxy
from tests.fixtures.team import Team

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

FLOW = """
[flow.tiny]
use = "finetune"
command = ["true"]
checkpoint = "out"
evals = { click = ["true"], type = ["true"] }
[schedule.nightly]
flow = "tiny"
cron = "0 2 * * *"
[schedule.weekly]
flow = "tiny"
cron = "0 3 * * 0"
timezone = "Europe/Berlin"
set = ["evals=click"]
[queue.tiny]
at_once = 1
"""


def starts(team: Team, schedule: str) -> str:
    return str(team.get("cronworkflow", schedule)["spec"]["workflowSpec"]["workflowTemplateRef"]["name"])


def deployed(team: Team, subject: str) -> str:
    sha = team.commit(subject, {"notes.txt": subject})
    team.ok("image")
    team.ok("deploy", "tiny")
    return sha


def passed(team: Team, commit: str, run: str) -> None:
    """A run of the commit was green: what its last step writes down."""
    (template,) = team.get("workflowtemplates", "--selector", f"builder/flow=tiny,builder/commit={commit}")["items"]
    request = replace(released_request(template), run=run, origin=Origin(main=True))
    green.remember(team.objects, request, RunResult(run, "tiny", commit, request.reference, "succeeded", identity=run))


def roll_back_until(team: Team, commit: str, proxy: Proxy) -> None:
    """The way to the server is gone as soon as one schedule is changed."""
    cluster = connect(team.namespace)
    crons = tuple(sorted(cluster.list("cronworkflows"), key=lambda cron: str(cron["metadata"]["name"])))
    (template,) = cluster.list("workflowtemplates", {"builder/flow": "tiny", "builder/commit": commit})
    list(roll_back(cluster, Rollback("tiny", crons, template, main=True), "Ada", remember=lambda _: proxy.close()))


def test_back_to_green_and_on_again(team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    team.settings(FLOW)
    first = deployed(team, "First")
    passed(team, first, "tiny-1")
    second = deployed(team, "Second")
    passed(team, second, "tiny-2")
    before = {name: team.get("cronworkflow", name) for name in ("nightly", "weekly")}
    team.cluster.output("-n", team.namespace, "patch", "cronworkflow", "weekly", "--type=merge", "--patch", '{"spec": {"suspend": true}}')

    looked = team.run("deploy", "--rollback", "tiny", "--diff")
    assert looked.returncode == 1, looked.stderr
    assert "schedule nightly would be changed" in looked.stdout
    assert starts(team, "nightly").startswith(f"tiny-{second[:12]}"), "looking changes nothing"
    with pytest.raises(ClusterError) as cut, kubeconfig_through_proxy(Path(team.environ["KUBECONFIG"]), tmp_path) as (path, proxy):
        monkeypatch.setenv("KUBECONFIG", str(path))
        roll_back_until(team, first, proxy)
    assert cut.value.hint.startswith(f"`builder deploy --rollback tiny --to {first[:12]}` does the rest")
    assert [starts(team, name)[:17] for name in ("nightly", "weekly")] == [f"tiny-{first[:12]}", f"tiny-{second[:12]}"]
    assert "the schedules start different commits" in team.run("deploy", "--rollback", "tiny").stderr
    team.ok("deploy", "tiny", "--again")
    done = team.json("deploy", "--rollback", "tiny")
    assert done["commit"] == first
    assert {(found["name"], found["done"]) for found in done["objects"]} == {("nightly", "changed"), ("weekly", "changed")}
    for name in ("nightly", "weekly"):
        assert starts(team, name).startswith(f"tiny-{first[:12]}")
        now, was = team.get("cronworkflow", name), before[name]
        assert now["metadata"]["uid"] == was["metadata"]["uid"]
        kept = ("schedules", "timezone", "concurrencyPolicy")
        assert {key: now["spec"][key] for key in kept} == {key: was["spec"][key] for key in kept}
    assert team.get("cronworkflow", "weekly")["spec"]["suspend"] is True
    same = team.run("deploy", "tiny", "--commit", first, "--diff")
    assert (same.returncode, same.stdout) == (0, ""), "it is as if the first commit had been deployed again"
    assert team.run("deploy", "--rollback", "tiny").returncode == 1, "nothing before the first was green"
    assert "nothing to do" in team.run("deploy", "--rollback", "tiny", "--to", first[:12]).stderr

    refused = team.run("deploy", "tiny")
    assert refused.returncode == 1
    assert f"was rolled back from {second[:12]}" in refused.stderr
    assert "--again" in refused.stderr
    assert starts(team, "nightly").startswith(f"tiny-{first[:12]}")
    third = deployed(team, "Third")
    assert starts(team, "nightly").startswith(f"tiny-{third[:12]}")
    team.ok("deploy", "tiny", "--commit", second)

    listed = [entry for entry in team.json("show", "tiny", "--history") if entry["schedule"] == "nightly"]
    assert [(entry["commit"], entry["how"]) for entry in listed] == [
        (second, "deploy"),
        (third, "deploy"),
        (first, "rollback"),
        (second, "deploy"),
        (first, "deploy"),
    ]
    assert [entry["until"] for entry in listed] == ["", *(entry["when"] for entry in listed[:-1])]
    assert {entry["who"] for entry in listed} == {team.json("deploy", "tiny", "--dry-run") and listed[0]["who"]}

    team.cluster.output("-n", team.namespace, "delete", "workflowtemplates", "--selector", f"builder/commit={first}")
    gone = team.run("deploy", "--rollback", "tiny", "--to", first[:12])
    assert gone.returncode == 1
    assert f"builder deploy --commit {first[:12]} tiny" in gone.stderr
    assert team.run("deploy", "--rollback", "tiny", "--diff", KUBECONFIG="/nowhere").returncode == 3


def git(directory: Path, *words: str) -> str:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    return subprocess.run(["git", *identity, *words], cwd=directory, capture_output=True, text=True, check=True).stdout.strip()


def kubectl(team: Team, *words: str) -> subprocess.CompletedProcess[str]:
    return team.cluster.run("--namespace", team.namespace, *words)


def test_a_directory_that_a_cluster_follows(team: Team, tmp_path: Path) -> None:
    team.settings(FLOW)
    first = team.commit("First", {"notes.txt": "1"})
    printed = team.ok("image").strip()
    git(tmp_path, "init", "--quiet", "--bare", "remote")
    git(tmp_path, "clone", "--quiet", "remote", "cluster")
    git(tmp_path / "cluster", "commit", "--quiet", "--allow-empty", "--message", "Begin")
    git(tmp_path / "cluster", "push", "--quiet")
    directory, identity = tmp_path / "cluster/team", {"GIT_AUTHOR_NAME": "CI", "GIT_AUTHOR_EMAIL": "ci@example.org"}
    identity |= {"GIT_COMMITTER_NAME": "CI", "GIT_COMMITTER_EMAIL": "ci@example.org"}
    to = ("deploy", "tiny", "--to", str(directory))
    recorded = team.json(*to, "--push", **identity)["recorded"]
    assert git(tmp_path / "remote", "rev-parse", "HEAD") == recorded
    trailers = git(tmp_path / "remote", "log", "-1", "--format=%(trailers:only)").splitlines()
    assert trailers == [f"Source-Commit: {first}", f"Image: {printed}"]
    assert team.run(*to, "--diff").returncode == 0
    assert team.json(*to, "--push", **identity)["recorded"] == ""

    apply = ("apply", "--kustomize", str(directory))
    applied = kubectl(team, *apply)
    assert applied.returncode == 0, applied.stderr
    kinds = [line.partition("/")[0].partition(".")[0] for line in applied.stdout.splitlines()]
    assert kinds == ["configmap", "workflowtemplate", "cronworkflow", "cronworkflow"], "schedules come last"
    assert kubectl(team, "diff", "--kustomize", str(directory)).returncode == 0
    assert kubectl(team, "annotate", "cronworkflow", "nightly", "argocd.argoproj.io/tracking-id=x:argoproj.io/y:z/nightly").returncode == 0
    assert kubectl(team, "label", "cronworkflow", "--all", "app.kubernetes.io/instance=team").returncode == 0
    same = team.run("deploy", "tiny", "--diff")
    assert (same.returncode, same.stdout) == (0, ""), "what servers and others add is no difference"

    pause = ("patch", "cronworkflow", "nightly", "--type=merge", "--patch", '{"spec": {"suspend": true}}')
    assert kubectl(team, *pause).returncode == 0
    second = team.commit("Second", {"notes.txt": "2"})
    team.ok("image")
    assert team.run(*to, "--diff").returncode == 1
    team.ok(*to, "--push", **identity)
    assert kubectl(team, *apply).returncode == 0
    nightly = team.get("cronworkflow", "nightly")
    assert (nightly["spec"]["suspend"], nightly["metadata"]["labels"]["builder/commit"]) == (True, second)
    assert len(team.get("workflowtemplates")["items"]) == 2, "that of the first is not in the directory any more, and stays"

    as_flux = ("--server-side", "--force-conflicts", "--field-manager=kustomize-controller", "--kustomize", str(directory))
    file = directory / "cronworkflow-weekly.yaml"
    file.write_text(file.read_text().replace("\n  timezone:", "\n  suspend: true\n  timezone:"))
    git(tmp_path / "cluster", "commit", "--quiet", "--all", "--message", "Pause")
    git(tmp_path / "cluster", "push", "--quiet")
    assert team.json(*to, "--push", **identity)["recorded"] == "", "a pause in the file stays"
    assert kubectl(team, "apply", *as_flux).returncode == 0
    assert kubectl(team, "diff", *as_flux).returncode == 0
    paused = {name: team.get("cronworkflow", name)["spec"].get("suspend") for name in ("nightly", "weekly")}
    assert paused == {"nightly": None, "weekly": True}, "to a server-side apply the spec of Argo's objects is one field"

    told = team.run("deploy", "--rollback", "tiny", "--to", first)
    assert "Argo CD looks after schedule nightly" in told.stderr
    assert starts(team, "nightly").startswith(f"tiny-{first[:12]}")
    seen = team.json("show", "tiny", "--history")
    assert {(entry["commit"], entry["how"]) for entry in seen} == {(first, "rollback")}, seen
    assert kubectl(team, "apply", *as_flux).returncode == 0
    assert starts(team, "weekly").startswith(f"tiny-{second[:12]}"), "what follows the directory undoes it"
    git(tmp_path / "cluster", "revert", "--no-edit", "HEAD~1")
    assert kubectl(team, "apply", *as_flux).returncode == 0
    assert starts(team, "weekly").startswith(f"tiny-{first[:12]}")
    for path in directory.glob("workflowtemplate-*.yaml"):
        template: Any = yaml.safe_load(path.read_text())
        assert template["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] == "Prune=false"
    assert json.loads(team.ok(*to, "--commit", first, "--diff", "-o", "json"))["objects"]
