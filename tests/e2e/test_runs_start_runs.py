"""Runs that start runs on a real Argo: with the rights of the account of steps alone, killed in between, and at another revision."""

from __future__ import annotations

import io
import json
import re
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.steps.outbox import DEEPEST
from builder.steps.request import Origin, Start
from tests.fixtures.team import Images, Team, kubeconfig

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

# The parent asks for two runs. What it leaves behind kills its step as soon as the cluster has one of them: in the middle of starting.
ASK = """
import json, os, signal, ssl, subprocess, sys, time, urllib.request
if sys.argv[1:]:
    place = "/var/run/secrets/kubernetes.io/serviceaccount/"
    host = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    namespace = open(place + "namespace").read()
    url = f"{host}/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows"
    request = urllib.request.Request(url, headers={"Authorization": "Bearer " + open(place + "token").read()})
    context = ssl.create_default_context(cafile=place + "ca.crt")
    def begun():
        items = json.load(urllib.request.urlopen(request, context=context))["items"]
        return any("finetune-from-" in item["metadata"]["name"] for item in items)
    if begun():
        sys.exit()
    print("ready", flush=True)
    while not begun():
        time.sleep(0.005)
    os.kill(int(sys.argv[1]), signal.SIGKILL)
elif "BUILDER_PARENT" not in os.environ:
    step = open(f"/proc/{os.getppid()}/stat").read().rpartition(")")[2].split()[1]
    killer = subprocess.Popen([sys.executable, __file__, step], start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    killer.stdout.readline()
    with open(os.environ["BUILDER_OUTBOX"], "a") as lines:
        for ask in json.load(open("ask.json")):
            print(json.dumps(ask), file=lines)
"""
COMMAND = 'command = ["python", "-m", "agent.train", "--config", "{config}"]'
ASKING = 'command = ["sh", "-c", "python -m agent.train --config {config} && python ask.py"]'
RETRY = """
[flow.finetune.errors.finetune]
retry = 2
backoff = "1s"
"""
CHAIN = """
[flow.mourn]
use = "finetune"
after = "finetune"
only_if = "failed"
command = ["sh", "-c", "echo $BUILDER_PARENT; exit 4"]
[flow.mourn.evals]
click = ["true"]
"""


@pytest.fixture
def with_git(images: Images, crane: str, tmp_path: Path) -> Images:
    """The base of other tests has no git, unlike the real one: this machine's, whose libraries the base has. Pods reach it, too."""
    archive = tmp_path / "git.tar"
    program = Path(shutil.which("git") or "").resolve().read_bytes()
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("usr/bin/git")
        member.mode, member.size = 0o755, len(program)
        tar.addfile(member, io.BytesIO(program))
    name = f"{images.base.partition('@')[0]}-git:latest"
    append = [crane, "append", "--insecure", "--base", images.base, "--new_layer", str(archive), "--new_tag", name]
    done = subprocess.run(append, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Images(done.stdout.strip().replace(images.push, images.pull), images.push, images.pull)


@pytest.fixture
def served(tmp_path: Path, bridge_address: str) -> Iterator[tuple[Path, str]]:
    """A bare repository, and the URL under which pods reach it."""
    served = tmp_path / "served"
    with socket.socket() as probe:
        probe.bind((bridge_address, 0))
        port = probe.getsockname()[1]
    served.mkdir()
    words = ["--reuseaddr", f"--listen={bridge_address}", f"--port={port}", "--export-all", f"--base-path={served}", str(served)]
    daemon = subprocess.Popen(["git", "daemon", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield served / "agent.git", f"git://{bridge_address}:{port}/agent.git"
    daemon.terminate()
    daemon.wait()


def ended(team: Team, run: str, seconds: float = 400) -> dict[str, Any]:
    """The run's records, when it has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        records = team.ledger.read(run)
        if "ended" in records.get("exit", {}) or "ended" in records.get("run", {}):
            return records
        time.sleep(1)
    raise AssertionError((run, records))


def workflows(team: Team) -> set[str]:
    return {item["metadata"]["name"] for item in team.get("workflows")["items"]}


def test_the_same_commit_and_another_revision(team: Team, with_git: Images, images: Images, served: tuple[Path, str], cluster: Any) -> None:
    repository, url = served
    text = (team.repository / "builder.toml").read_text()
    text = re.sub(r"push = .*\npull = (.*)\n", r"to = \1\ninsecure = true\n", text.replace(images.base, with_git.base))
    text = text.replace("[deploy]\n", '[deploy]\ngit_secret = "git"\n')
    first = team.commit("Run with git", {"builder.toml": text})
    asks = [
        {"start": "finetune", "set": {"epochs": 1}, "evals": ["click"]},
        {"start": "finetune", "rev": "older", "set": {"epochs": 2}, "evals": ["type"]},
    ]
    files = {"builder.toml": text.replace(COMMAND, ASKING) + RETRY, "ask.py": ASK, "ask.json": json.dumps(asks)}
    head = team.commit("Ask for runs", files)
    team.git("branch", "older", first)
    team.git("clone", "--quiet", "--bare", str(team.repository), str(repository))
    subprocess.run(["git", "-C", str(repository), "config", "uploadpack.allowFilter", "true"], check=True)
    subprocess.run(["git", "-C", str(repository), "config", "uploadpack.allowAnySHA1InWant", "true"], check=True)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git"}, "stringData": {"url": url, "token": ""}}
    cluster.output("--namespace", team.namespace, "apply", "--filename=-", stdin=json.dumps(secret))

    parent = team.json("run", "finetune@HEAD", "epochs=1", "evals=click", "--on", "argo", "--detach")["run"]
    assert team.wait(parent) == "Succeeded"
    records = team.ledger.read(parent)
    assert (records["finetune"]["attempt"], records["finetune"]["failures"][0]["end"]) == (1, "lost"), "its pod was killed"
    same, other = records["finetune"]["children"]
    assert workflows(team) - {other} == {parent, same, f"start-{other}"}, "each is started once"

    found = {run: ended(team, run) for run in (same, other)}
    for run, known in found.items():
        assert known["exit"]["state"] == "succeeded", (run, known)
        assert (known["run"]["origin"]["parent"], known["run"]["origin"]["depth"]) == (parent, 1)
    assert (found[same]["run"]["commit"], found[same]["run"]["overrides"]) == (head, ["epochs=1"])
    assert (found[other]["run"]["commit"], found[other]["run"]["overrides"]) == (first, ["epochs=2"])
    assert found[same].keys() >= {"evaluate-click"}
    assert found[other].keys() >= {"evaluate-type"}

    workflow = team.workflow(same)
    assert workflow["spec"].get("serviceAccountName", "builder-run") == "builder-run"
    pods = {pod["metadata"]["name"]: pod for pod in team.pods(f"start-{other}")}
    assert {pod["spec"]["serviceAccountName"] for pod in pods.values()} == {"builder-start"}
    for pod in (*team.pods(parent), *team.pods(same)):
        assert pod["spec"]["serviceAccountName"] == "builder-run"
        assert "secretKeyRef" not in json.dumps(pod), "the secret is the starter's alone"


def test_a_flow_that_comes_after_another(team: Team) -> None:
    text = (team.repository / "builder.toml").read_text()
    team.commit("Fail, and mourn", {"builder.toml": text.replace(COMMAND, 'command = ["false"]') + CHAIN})
    parent = team.json("run", "finetune@HEAD", "--on", "argo", "--detach")["run"]
    assert team.wait(parent) == "Failed"
    (child,) = team.ledger.read(parent)["exit"]["children"]
    records = ended(team, child)
    assert child.startswith("mourn-from-")
    assert records["run"]["origin"]["parent"] == parent
    assert records["exit"]["end"] == "exit:4"
    log = team.objects.get(f"runs/{child}/finetune/log") or b""
    assert log.decode().strip() == parent
    assert team.ledger.read(child)["exit"].get("children") is None


OWN = """
from metaflow import FlowSpec, Parameter, step
from builder import start_run

class Own(FlowSpec):
    last = Parameter("last", default=False)

    @step
    def start(self):
        if not self.last:
            start_run("own", last=True)
        self.next(self.end)

    @step
    def end(self):
        self.scores = {"last": float(self.last)}

if __name__ == "__main__":
    Own()
"""


def test_a_teams_own_flow(team: Team) -> None:
    team.settings('\n[flow.own]\nfile = "own.py"\n')
    team.commit("Add a flow of our own", {"own.py": OWN})
    parent = team.json("run", "own@HEAD", "--on", "argo", "--detach")["run"]
    assert team.wait(parent) == "Succeeded"
    (child,) = team.ledger.read(parent)["exit"]["children"]
    records = ended(team, child)
    assert records["exit"]["state"] == "succeeded"
    assert records["end"]["result"]["scores"] == {"last": 1.0}
    assert (records["run"]["origin"]["parent"], records["run"]["overrides"]) == (parent, ["last=true"])


def test_runs_that_start_each_other_come_to_an_end(team: Team) -> None:
    text = (team.repository / "builder.toml").read_text()
    ask = 'echo x >$BUILDER_CHECKPOINT/x\necho \'{"start": "finetune"}\' >$BUILDER_OUTBOX\n'
    files = {"ask.sh": ask, "builder.toml": text.replace(COMMAND, 'command = ["sh", "ask.sh"]')}
    team.commit("Start again and again", files)
    start = Start("finetune-from-0000000000", "finetune", Origin(who="ada", parent="another", depth=DEEPEST))
    team.ok("run", "finetune@HEAD", "--on", "argo", "--detach", "--child", start.pack())
    assert team.wait(start.run) == "Failed"
    record = team.ledger.read(start.run)["exit"]
    assert f"{start.run} is the last of {DEEPEST} runs that started each other: it may start no other" in record["error"]
    assert workflows(team) == {start.run}


def test_who_may_make_templates(team: Team, tmp_path: Path) -> None:
    """On the real cluster, with the token of each account."""
    manifest = {"apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowTemplate", "metadata": {"name": "mine"}, "spec": {"templates": []}}
    done = {}
    for account in ("builder-run", "builder-start"):
        config = str(kubeconfig(team, tmp_path / account, account))
        done[account] = team.cluster.run("--kubeconfig", config, "create", "--filename=-", stdin=json.dumps(manifest))
    assert done["builder-run"].returncode != 0
    assert 'cannot create resource "workflowtemplates"' in done["builder-run"].stderr
    assert done["builder-start"].returncode == 0, done["builder-start"].stderr
