"""What runs on a real Argo tell people: every step in order, and what died before it could say why."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from builder.deploy.apply import workflow
from builder.steps.request import Request
from tests.fixtures.mlflow import Known
from tests.fixtures.slack import CHANNEL, TOKEN, Received, Slack, slack_on
from tests.fixtures.team import Team

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

SETTINGS = """
[links]
argo = "https://argo.example.org/workflows/{{namespace}}/{{workflow}}"

[tracker]
mlflow = "{mlflow}"
experiment = "{namespace}"

[notify]
slack = true
secret = "slack"
channel = "{channel}"
api = "{api}"
"""
LIMITS = """
[launch.finetune.pod]
cpu = "0.1"
memory = "512Mi"
shared_memory = "2Gi"

[flow.finetune.errors.finetune]
notify = "<@U012ABC>"
"""
EAT_ALONE = """
import os
print("eating", flush=True)
eaten = []
while True:
    eaten.append(bytearray(os.urandom(1 << 20)) * 16)
"""
EAT_WITH_ALL = """
import os
pid = os.getppid()
while pid > 0:  # whoever has more points is killed first: the whole container dies with it
    open(f"/proc/{pid}/oom_score_adj", "w").write("1000")
    pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
with open("/dev/shm/eaten", "wb") as file:  # memory of the container, and of no process
    while True:
        file.write(os.urandom(1 << 20) * 16)
"""


@pytest.fixture
def slack(bridge_address: str) -> Iterator[Slack]:
    with slack_on(bridge_address) as slack:
        yield slack


@pytest.fixture
def telling(team: Team, slack: Slack, mlflow_server: str) -> Team:
    """The team, with a secret of the cluster that lets pods speak to Slack, and an MLflow server."""
    secret = {"metadata": {"name": "slack", "namespace": team.namespace}, "stringData": {"SLACK_BOT_TOKEN": TOKEN}}
    team.cluster.output("apply", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "Secret", **secret}))
    team.settings(SETTINGS.format(channel=CHANNEL, api=slack.api, mlflow=mlflow_server, namespace=team.namespace))
    return team


def of_run(slack: Slack, run: str) -> list[Received]:
    return [message for message in slack.messages if run in message.text]


def heads(messages: list[Received]) -> list[str]:
    """`started finetune@1234567`, `succeeded start`, ...: what of which."""
    words = [message.text.splitlines()[0].split("*") for message in messages]
    return [f"{after.split()[0].strip(':,')} {name}" for _, name, after in words]


def test_every_step_is_told_in_order(telling: Team, slack: Slack, mlflow_server: str) -> None:
    started = telling.json("run", "finetune@HEAD", "--on", "argo", "--detach")
    run, title = started["run"], f"finetune@{started['commit'][:7]}"
    url = f"https://argo.example.org/workflows/{telling.namespace}/{run}"
    assert started["links"] == {"argo": url}
    assert telling.wait(run) == "Succeeded"

    messages = of_run(slack, run)
    heard = heads(messages)
    assert [line for line in heard if "evaluate" not in line] == [
        f"started {title}",
        "succeeded start",
        "started finetune",
        "succeeded finetune",
        "started freeze",
        "succeeded freeze",
        "started end",
        "succeeded end",
        f"succeeded {title}",
    ]
    evaluations = [line for line in heard if "evaluate" in line]
    assert sorted(evaluations) == sorted(
        f"{what} evaluate-{action}" for what in ("started", "succeeded") for action in ("click", "scroll", "type")
    )
    for action in ("click", "scroll", "type"):
        assert evaluations.index(f"started evaluate-{action}") < evaluations.index(f"succeeded evaluate-{action}")
    first, *rest = messages
    assert {message.thread for message in rest} == {first.ts}
    report = json.loads(telling.objects.get(f"runs/{run}/report.json") or b"")
    assert f"<{url}|argo>" in first.text
    assert f"click      {report['scores']['click']:.4f}" in rest[-1].text
    for known in ("reference", "config", "checkpoint"):
        assert report[known] in rest[-1].text
    assert report["links"]["argo"] == url
    records = telling.ledger.read(run)
    assert {records[step]["links"]["argo"] for step in ("run", "start", "exit")} == {url}
    assert (telling.objects.get(f"runs/{run}/report.md") or b"").decode().count(f"[argo]({url})") == 1

    (tracked,) = Known.all(mlflow_server, telling.namespace)
    assert report["links"]["mlflow"] == f"{mlflow_server}/#/experiments/{tracked.experiment}/runs/{tracked.number}"
    assert (tracked.name, tracked.tags["builder.digest"]) == (run, report["reference"].rpartition("@")[2])
    assert tracked.metrics["score.click"] == [(0, report["scores"]["click"])]
    assert [loss for _, loss in tracked.metrics["loss"]] == [point["loss"] for point in report["losses"]]
    assert f"<{report['links']['mlflow']}|mlflow>" in rest[-1].text

    kept = json.dumps([telling.workflow(run), telling.get("workflowtemplates")])
    assert TOKEN not in kept, "the secret stands in no object of the cluster but the Secret"


def test_what_dies_before_it_can_say_why(telling: Team, slack: Slack) -> None:
    telling.settings(LIMITS)
    eating = {"child": EAT_ALONE, "container": EAT_WITH_ALL}
    commits = {whole: telling.commit(f"Eat the {whole}", {"agent/train.py": script}) for whole, script in eating.items()}
    runs = {whole: telling.json("run", f"finetune@{sha}", "--on", "argo", "--detach") for whole, sha in commits.items()}
    gone = run_without_image(telling, runs["child"]["run"])
    sleeping = telling.commit("Sleep", {"agent/train.py": "import time\nprint('sleeping', flush=True)\ntime.sleep(900)\n"})
    runs["stopped"] = telling.json("run", f"finetune@{sleeping}", "--on", "argo", "--detach")
    path = telling.repository / "builder.toml"
    path.write_text(path.read_text().replace("[deploy]\n", '[deploy]\ntimeout = "100s"\n'))
    runs["late"] = telling.json("run", f"finetune@{sleeping}", "--on", "argo", "--detach")
    names = {**{whole: run["run"] for whole, run in runs.items()}, "image": gone}
    slack.wait_for(f"`{names['stopped']}`", seconds=300)
    telling.ok("stop", names["stopped"])
    assert {telling.wait(run) for run in names.values()} == {"Failed"}
    ends = {what: telling.ledger.read(run)["exit"] for what, run in names.items()}

    assert {what: (record["state"], record["end"], record["at"]) for what, record in ends.items()} == {
        "child": ("failed", "memory", "finetune"),
        "container": ("failed", "memory", "finetune"),
        "image": ("failed", "failed", "start"),
        "stopped": ("stopped", "stopped", ends["stopped"]["at"]),  # wherever it was
        "late": ("failed", "timeout", ends["late"]["at"]),
    }
    assert "was killed by the kernel: out of memory; its last lines:\n  eating" in ends["child"]["error"]
    assert "its pod was killed: out of memory, it had 512Mi" in ends["container"]["error"]
    assert "step start failed: it never began: its image cannot be pulled: Failed to pull image" in ends["image"]["error"]
    assert ends["stopped"]["error"].startswith(f"{names['stopped']} was stopped by ")
    assert "its time was up" in ends["late"]["error"]
    for what, run in names.items():
        last = of_run(slack, run)[-1]
        assert re.split(" failed: | was stopped ", ends[what]["error"].splitlines()[0])[-1].partition(";")[0][:60] in last.text
        where = f" in step {ends[what]['at']}" if ends[what]["at"] else ""  # one that is stopped may be between two steps
        assert last.text.startswith(f":x: *finetune@{ends[what]['commit'][:7]}* {ends[what]['state']}{where}")
    assert "<@U012ABC>" in of_run(slack, names["container"])[-1].text


def run_without_image(team: Team, other: str) -> str:
    """A run of the same template, but of an image that no registry has: as when somebody deleted it."""
    marks = team.workflow(other)["metadata"]["labels"]
    template: Any = team.get("workflowtemplate", marks["workflows.argoproj.io/workflow-template"])
    request = Request.unpack(template["spec"]["arguments"]["parameters"][0]["value"])
    missing = f"{request.reference.partition('@')[0]}@sha256:{'0' * 64}"
    changed = json.loads(json.dumps(template).replace(request.reference, missing))
    (first,) = (part for part in changed["spec"]["templates"] if part["name"] == "start")
    assert first["activeDeadlineSeconds"] == 1800, "[deploy] pending_timeout"
    first["activeDeadlineSeconds"] = 45
    run = f"{other[:-6]}000000"
    asked = replace(request, reference=missing).pack()
    made = workflow(changed, run, {"parameters": [{"name": "request", "value": asked}]}, {}, fresh=True)
    team.cluster.output("create", "--filename=-", stdin=json.dumps(made))
    return run
