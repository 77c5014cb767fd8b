"""`builder deploy` on a real cluster: templates and schedules once, in place, and never half; a nightly that fires is pinned."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from builder.model.oci import MANIFEST
from builder.steps.request import Request
from tests.fixtures.team import SECRET, Team, digest_of
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

HOSTILE = ["{{workflow.name}}", "{{", "'quoted' \"twice\"", "two\nlines", "$(touch x) `touch y` ${HOME}", "\U0001f642", "\\", "{{=1+1}}"]
TRAIN = "import json, os, sys; os.makedirs('out'); open('out/weights', 'w').write('1'); print(json.dumps(sys.argv[1:]))"


def tiny(*arguments: str) -> str:
    """A flow whose commands take no time."""
    train, score = json.dumps(["python", "-c", TRAIN, *arguments], ensure_ascii=False), json.dumps(["python", "-c", "print('acc=0.5')"])
    lines = ["[flow.tiny]", 'use = "finetune"', f"command = {train}", 'checkpoint = "out"', f"evals = {{ click = {score} }}"]
    return "\n".join(["", *lines, "[flow.tiny.scores]", 'click = { log = "acc=([0-9.]+)" }', ""])


def schedule(name: str, flow: str, cron: str = "0 2 * * *") -> str:
    return f'\n[schedule.{name}]\nflow = "{flow}"\ncron = "{cron}"\n'


def done(team: Team, *words: str) -> dict[str, str]:
    """`kind/name` to what was done."""
    return {f"{found['kind']}/{found['name']}": found["done"] for found in team.json("deploy", *words)["objects"]}


def cron_of(team: Team, name: str = "nightly") -> Any:
    return team.get("cronworkflow", name)


def started(team: Team, name: str = "nightly") -> str:
    return str(cron_of(team, name)["spec"]["workflowSpec"]["workflowTemplateRef"]["name"])


def runs_of(team: Team, name: str) -> list[str]:
    found = team.get("workflows", "--selector", f"workflows.argoproj.io/cron-workflow={name}")["items"]
    return sorted(one["metadata"]["name"] for one in found)


def pause(team: Team, name: str) -> None:
    team.cluster.output("-n", team.namespace, "patch", "cronworkflow", name, "--type=merge", "--patch", '{"spec": {"suspend": true}}')


def test_a_nightly_fires_pinned_and_a_paused_one_stays_paused(team: Team) -> None:
    team.settings(tiny(*HOSTILE))
    first = team.commit("Close {{ what {{workflow.name}} opens \U0001f642")
    team.settings(schedule("nightly", "tiny", "* * * * *") + '\n[queue.tiny]\nat_once = 1\nkueue = "team-queue"\n')
    printed = team.ok("image").strip()
    team.ok("deploy", "tiny")
    run = str(until(lambda: runs_of(team, "nightly"), 90)[0])
    pause(team, "nightly")
    assert set(done(team, "tiny").values()) == {"found"}

    second = team.commit("Another one")
    assert team.run("deploy", "tiny", "--diff").returncode == 3, "the image is not there yet"
    team.ok("image")
    before, looked = started(team), team.run("deploy", "tiny", "--diff")
    assert looked.returncode == 1
    assert "schedule nightly would be changed" in looked.stdout
    assert "spec.workflowSpec.workflowTemplateRef.name: " in looked.stdout
    assert started(team) == before, "looking changes nothing"
    assert done(team, "tiny")["schedule/nightly"] == "changed"
    assert (started(team)[:17], cron_of(team)["spec"]["suspend"]) == (f"tiny-{second[:12]}", True)
    assert team.run("deploy", "tiny", "--diff").returncode == 0

    assert team.wait(run) == "Succeeded"
    pods = team.pods(run)
    steps, _ = team.mains(run)
    assert len(steps) == 6
    assert {digest_of(status) for status in steps} == {printed.rpartition("@")[2]}
    assert {pod["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] for pod in pods} == {"team-queue"}
    marks = team.workflow(run)["metadata"]
    assert marks["labels"]["builder/commit"] == first
    assert marks["annotations"]["builder/who"] == "schedule nightly"
    assert marks["annotations"]["builder/subject"] == "Close {{ what {{workflow.name}} opens \U0001f642"
    records = team.ledger.read(run)
    origin = records["start"]["origin"]
    assert (origin["who"], origin["schedule"], records["start"]["commit"]) == ("schedule nightly", "nightly", first)
    assert (records["exit"]["state"], records["end"]["result"]["scores"]) == ("succeeded", {"click": 0.5})
    log = (team.objects.get(f"runs/{run}/finetune/log") or b"").decode()
    assert json.loads(next(line for line in log.splitlines() if line.startswith("["))) == HOSTILE
    assert runs_of(team, "nightly") == [run], "it is paused"


def test_a_schedule_that_is_gone_from_the_settings(team: Team) -> None:
    plain = (team.repository / "builder.toml").read_text()
    team.settings(schedule("nightly", "finetune") + schedule("weekly", "finetune"))
    team.ok("deploy")
    (team.repository / "builder.toml").write_text(plain + schedule("nightly", "finetune"))
    told = team.run("deploy")
    assert told.returncode == 0
    assert "not in the settings any more, and still started: weekly" in told.stderr
    assert done(team, "--prune", "--dry-run")["schedule/weekly"] == "removed"
    assert cron_of(team, "weekly")
    assert done(team, "--prune")["schedule/weekly"] == "removed"
    assert [found["metadata"]["name"] for found in team.get("cronworkflows")["items"]] == ["nightly"]


def test_the_server_goes_away_meanwhile(team: Team) -> None:
    team.settings(schedule("nightly", "finetune"))
    team.ok("deploy")
    before = started(team)
    team.commit("Another one")
    team.ok("image")
    deploying = team.start("deploy")
    time.sleep(0.3)
    with team.cluster.without_api_server():
        time.sleep(20)
    _, said = deploying.communicate(timeout=200)
    there = {found["metadata"]["name"] for found in team.get("workflowtemplates")["items"]}
    assert started(team) in there
    if deploying.returncode == 0:
        assert started(team) != before
    else:
        assert "error: https://" in said
        assert "hint: " in said
        assert "Traceback" not in said
    team.ok("deploy")
    assert started(team) != before
    assert set(done(team).values()) == {"found"}


def test_the_directory_is_what_a_cluster_takes(team: Team, tmp_path: Path) -> None:
    team.settings(schedule("nightly", "finetune") + "\n[queue.finetune]\nat_once = 2\n")
    directory = tmp_path / "manifests"
    team.ok("deploy", "--to", str(directory))
    first = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert "nothing to do" in team.run("deploy", "--to", str(directory)).stderr
    team.ok("deploy", "--to", str(tmp_path / "again"), XDG_CACHE_HOME=str(tmp_path / "cache"), HOME=str(tmp_path), USER="somebody")
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == first
    assert len(first) == 4
    team.cluster.output("--namespace", team.namespace, "apply", "--server-side", "--kustomize", str(directory))
    assert set(done(team).values()) == {"found"}
    (template,) = team.get("workflowtemplates")["items"]
    written = yaml.safe_load(first[f"workflowtemplate-{template['metadata']['name']}.yaml"])
    assert template["spec"] == written["spec"], "the server keeps every field"
    request = Request.unpack(written["spec"]["arguments"]["parameters"][0]["value"])
    assert request.commit == team.git("rev-parse", "HEAD")


def test_a_namespace_is_made_ready_once(team: Team, tmp_path: Path) -> None:
    path = team.repository / "builder.toml"
    path.write_text(path.read_text().replace("pre_pull = false", "pre_pull = true"))
    admin = {"KUBECONFIG": str(team.cluster.kubeconfig)}
    first = team.run("deploy", "--bootstrap", "-o", "json", **admin)
    assert first.returncode == 0, first.stderr
    assert [(found["kind"], found["name"]) for found in json.loads(first.stdout)["objects"] if found["done"] != "found"] == [
        ("daemonset", "builder-pre-pull")
    ]
    assert "kubectl --namespace" in first.stderr
    again = team.run("deploy", "--bootstrap", **admin)
    assert "nothing to do" in again.stderr
    wait = ("rollout", "status", "daemonset/builder-pre-pull", "--timeout=120s")
    team.cluster.output("--namespace", team.namespace, *wait)
    reference = team.get("daemonset", "builder-pre-pull")["spec"]["template"]["spec"]["containers"][0]["image"]
    image = team.ok("image").strip()
    assert reference.partition("@")[0] == image.partition("@")[0]
    below, whole = layers_of(reference), layers_of(image)
    assert below == whole[: len(below)]
    assert 0 < len(whole) - len(below) <= 40, "the code alone is missing"

    refused = team.run("deploy", "--bootstrap")
    assert refused.returncode == 4
    assert "this is an administrator's work" in refused.stderr


def layers_of(reference: str) -> list[str]:
    import urllib.request

    host, _, rest = reference.partition("/")
    name, _, digest = rest.partition("@")
    request = urllib.request.Request(f"http://{host}/v2/{name}/manifests/{digest}", headers={"Accept": MANIFEST})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return [layer["digest"] for layer in json.load(answer)["layers"]]


def test_what_the_deployer_may_not_do(team: Team) -> None:
    """The command line of a person or CI: no secret, no role, and nothing outside the namespace."""
    kubectl = [team.cluster.kubectl, "--kubeconfig", team.environ["KUBECONFIG"], "--namespace", team.namespace]
    for verb, what, allowed in (
        ("get", "secrets", False),
        ("create", "roles.rbac.authorization.k8s.io", False),
        ("create", "pods/exec", False),
        ("create", "workflowtemplates.argoproj.io", True),
        ("patch", "cronworkflows.argoproj.io", True),
        ("get", "pods/log", True),
    ):
        told = subprocess.run([*kubectl, "auth", "can-i", verb, what], capture_output=True, text=True)
        assert told.stdout.strip() == ("yes" if allowed else "no"), (verb, what)


def test_doctor_tries_a_pod(team: Team) -> None:
    """A deployer's account sees no secret; a pod of the run's account has it, or says that it is not there."""
    team.ok("image")
    found = {check["name"]: check for check in team.json("doctor", "--deep")["checks"] if check["group"] == "The cluster"}
    assert {name: check["state"] for name, check in found.items()} == dict.fromkeys(found, "ok")
    assert found["pods"]["detail"].startswith(f"a pod pulled the image; {team.root} can be written and read; Metaflow 2.")
    assert team.get("workflows")["items"] == []
    assert [found.key for found in team.objects.list("doctor/")] == []

    team.cluster.output("--namespace", team.namespace, "delete", "secret", SECRET)
    told = team.run("doctor", "--deep", "-o", "json")
    assert told.returncode == 1
    (pods,) = [check for check in json.loads(told.stdout)["checks"] if check["name"] == "pods"]
    assert f'secret "{SECRET}" not found' in pods["detail"]
