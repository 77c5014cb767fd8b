"""How many runs of a flow go on at once: the others wait, and say for what."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from typing import Any

import pytest

from builder.deploy.apply import workflow
from builder.deploy.exit_handler import EXIT
from tests.fixtures.team import Team

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

RUNS = tuple(f"queued-{number}" for number in range(5))


def with_one_step(template: Any) -> dict[str, Any]:
    """What builder rendered, but with a step that sleeps in place of all others: the rules of the workflow are what is tested."""
    parts = {part["name"]: part for part in template["spec"]["templates"]}
    step = {"name": "sleep", "container": {"image": parts["start"]["container"]["image"], "command": ["sleep", "4"]}}
    metadata = {"name": "queued", "namespace": template["metadata"]["namespace"]}
    metadata |= {key: template["metadata"][key] for key in ("labels", "annotations")}
    return {**template, "metadata": metadata, "spec": {**template["spec"], "entrypoint": "sleep", "templates": [step, parts[EXIT]]}}


def seconds(time_of_argo: str) -> float:
    return datetime.strptime(time_of_argo, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()


def at_once(spans: list[tuple[float, float]]) -> int:
    """How many of the spans, whose ends do not belong to them, have a moment in common."""
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


def test_counting() -> None:
    assert at_once([(0, 2), (2, 3)]) == 1
    assert at_once([(0, 2), (1, 3), (1, 2)]) == 3


def test_never_more_than_two_of_five(team: Team) -> None:
    team.settings("\n[queue.finetune]\nat_once = 2\n")
    team.ok("deploy")
    (template,) = team.get("workflowtemplates")["items"]
    tiny = with_one_step(template)
    request = template["spec"]["arguments"]["parameters"][0]["value"]
    for run in RUNS:
        manifest = workflow(tiny, run, {"parameters": [{"name": "request", "value": request}]}, {}, fresh=True)
        team.cluster.output("create", "--filename=-", stdin=json.dumps(manifest))
    waited: dict[str, str] = {}
    running = 0
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        found = {one["metadata"]["name"]: one.get("status", {}) for one in team.get("workflows")["items"]}
        running = max(running, sum(status.get("phase") == "Running" for status in found.values()))
        waited |= {run: status["message"] for run, status in found.items() if status.get("phase") == "Pending" and "message" in status}
        if all(status.get("phase") in ("Succeeded", "Failed", "Error") for status in found.values()):
            break
        time.sleep(0.5)
    ended = {run: team.workflow(run)["status"] for run in RUNS}
    assert {status["phase"] for status in ended.values()} == {"Succeeded"}
    assert at_once([(seconds(status["startedAt"]), seconds(status["finishedAt"])) for status in ended.values()]) == 2
    assert running == 2
    assert len(waited) >= 3
    lock = f"Waiting for {team.namespace}/ConfigMap/builder-queues/finetune lock"
    assert all(message.startswith(lock) for message in waited.values()), waited
