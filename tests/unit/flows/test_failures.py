"""What Argo says of a workflow that failed, as its exit handler understands it. The messages are those of a real Argo (3.7)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builder.deploy import ended
from builder.errors import AuthError
from builder.settings import LaunchSettings, PodSettings
from builder.steps.failures import Death, death_of, parse
from builder.steps.root import ledger_of
from tests.fixtures.memory_cluster import MemoryCluster
from tests.fixtures.requests import request_in

LOG = "Task is starting.\nretry: 1\nworkflow shutdown with strategy\nthe container was terminated; deadline\nError: exit status 1\n"
DAG = {"displayName": "run-1", "templateName": "Finetune", "message": "", "finishedAt": "2024-05-01T08:00:09Z"}
RETRIES = {"displayName": "finetune", "templateName": "finetune", "message": "No more retries left", "finishedAt": "2024-05-01T08:00:08Z"}


def failure(message: str, step: str = "finetune", at: str = "2024-05-01T08:00:07Z") -> dict[str, Any]:
    return {"displayName": f"{step}(0)", "templateName": step, "message": message, "podName": f"run-1-{step}-1", "finishedAt": at}


def death(
    tmp_path: Path, *failures: dict[str, Any], reason: str = "", records: dict[str, Any] | None = None, status: str = "Failed"
) -> Death:
    pods = {"finetune": LaunchSettings(pod=PodSettings(memory="64Gi"))}
    return death_of(request_in(tmp_path, launch=pods), status, [DAG, RETRIES, *failures], records or {}, lambda _: reason)


def test_a_container_that_was_killed_for_want_of_memory(tmp_path: Path) -> None:
    found = death(tmp_path, failure(f"main: OOMKilled (exit code 137): {LOG}"))
    assert found == Death(
        "finetune",
        "memory",
        "run-1: step finetune failed: its pod was killed: out of memory, it had 64Gi",
        "give it more: [launch.finetune.pod] memory",
    )


def test_the_log_in_a_message_decides_nothing(tmp_path: Path) -> None:
    found = death(tmp_path, failure(f"main: Error (exit code 1): {LOG}"))
    assert (found.step, found.end) == ("finetune", "failed")
    assert found.error == "run-1: step finetune failed: its pod ended before it could say why: Error (exit code 1)"


LATE = "Pod was active on the node longer than the specified deadline"


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ('Failed to pull image "x@sha256:0": not found', 'its image cannot be pulled: Failed to pull image "x@sha256:0": not found'),
        ("Error: ImagePullBackOff", "its image cannot be pulled: Error: ImagePullBackOff"),
        ('Error: secret "s3" not found', 'Error: secret "s3" not found'),
        ("", LATE),
    ],
)
def test_a_pod_that_never_began(tmp_path: Path, reason: str, error: str) -> None:
    found = death(tmp_path, failure(LATE, "start"), reason=reason)
    assert (found.step, found.end, found.error) == ("start", "failed", f"run-1: step start failed: it never began: {error}")


def test_a_step_whose_time_was_up(tmp_path: Path) -> None:
    found = death(tmp_path, failure(LATE), records={"finetune": {"state": "running"}}, reason="Failed to pull image")
    assert (found.step, found.end) == ("finetune", "timeout")


def test_a_run_whose_time_was_up_before_a_step_began(tmp_path: Path) -> None:
    """Argo says it of the retries of the step: there was no pod, or it waited."""
    late = failure("retry exceeded workflow deadline 2026-11-26 08:18:02 +0000 UTC", "start")
    assert (death(tmp_path, late).step, death(tmp_path, late).end) == ("start", "timeout")
    assert death(tmp_path, late, reason="Failed to pull image").end == "failed"
    waited = death(tmp_path, failure(LATE))
    assert (waited.end, waited.error) == ("timeout", f"run-1: step finetune failed: its time was up: {LATE}")


def test_a_node_that_went_away(tmp_path: Path) -> None:
    assert death(tmp_path, failure("pod deleted")).end == "lost"


def test_the_evaluation_that_was_under_way(tmp_path: Path) -> None:
    records = {"run": {"state": "submitted"}, "evaluate-a": {"state": "succeeded"}, "evaluate-b": {"state": "running"}}
    assert death(tmp_path, failure("main: OOMKilled (exit code 137)", "evaluate"), records=records).step == "evaluate-b"


def test_the_first_failure_counts(tmp_path: Path) -> None:
    later = failure("main: Error (exit code 1)", "evaluate", "2024-05-01T08:00:08Z")
    assert death(tmp_path, later, failure("main: OOMKilled (exit code 137)")).step == "finetune"


def test_a_run_that_was_stopped(tmp_path: Path) -> None:
    for found in (
        death(tmp_path, failure("workflow shutdown with strategy: Stop")),
        death(tmp_path, failure("main: Error (exit code 143)"), status="Stopped"),
    ):
        assert (found.end, found.error) == ("stopped", "run-1 was stopped")


def test_when_argo_says_nothing(tmp_path: Path) -> None:
    assert death(tmp_path).error == "run-1: Argo ended the workflow: Failed"


def test_the_list_is_json_in_json_or_not() -> None:
    failures = [failure("main: OOMKilled (exit code 137)")]
    assert parse(json.dumps(failures)) == parse(json.dumps(json.dumps(failures))) == failures
    assert parse("") == parse("{{workflow.failures}}") == parse("null") == []
    assert parse("no JSON")[0]["message"] == "no JSON"


class TestTheCluster:
    @pytest.fixture
    def cluster(self) -> MemoryCluster:
        cluster = MemoryCluster()
        cluster.create({"kind": "Workflow", "metadata": {"name": "run-1"}, "spec": {}})
        return cluster

    def event(
        self, cluster: MemoryCluster, number: int, message: str, reason: str = "Failed", kind: str = "Warning", pod: str = "p"
    ) -> None:
        about = {"involvedObject": {"kind": "Pod", "name": pod}, "message": message, "reason": reason, "type": kind}
        cluster.create({"kind": "Event", "metadata": {"name": f"event-{number}"}, **about})

    def test_the_event_that_says_most(self, cluster: MemoryCluster) -> None:
        self.event(cluster, 1, "a very long message about something that is quite normal", "Pulled", "Normal")
        self.event(cluster, 2, 'Failed to pull image "x": not found')
        self.event(cluster, 3, "Error: ImagePullBackOff")
        self.event(cluster, 4, "Failed to pull image of another pod, which is of no interest", pod="other")
        self.event(cluster, 5, "kubelet does not have ClusterDNS IP configured, and that is a warning", "MissingClusterDNS")
        assert ended.reason(cluster, "p") == 'Failed to pull image "x": not found'
        assert ended.reason(cluster, "q") == ""

    def test_what_may_not_be_read_is_not_known(self, cluster: MemoryCluster) -> None:
        def refuse(verb: str, kind: str, name: str) -> None:
            raise AuthError(f"{verb} {kind}")

        cluster.fault = refuse
        assert ended.reason(cluster, "p") == ""
        assert not ended.was_stopped(cluster, "run-1")

    def test_a_stopped_workflow_is_no_failure(self, cluster: MemoryCluster, tmp_path: Path) -> None:
        request = request_in(tmp_path)
        environ = {
            "BUILDER_RUN": "run-1",
            "BUILDER_STATUS": "Failed",
            "BUILDER_FAILURES": json.dumps([failure("main: Error (exit code 143)")]),
        }
        environ |= {"BUILDER_REQUEST": request.pack(), "BUILDER_STARTED": "2024-05-01T08:00:00Z"}
        cluster.patch("workflows", "run-1", {"spec": {"shutdown": "Stop"}})
        ended.main(environ, cluster)
        record = ledger_of(request).read("run-1")["exit"]
        assert (record["state"], record["end"], record["error"]) == ("stopped", "stopped", "run-1 was stopped")
