"""Which commit was live when, by whom: from what was written down, and from what the cluster has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builder.deploy import history
from builder.deploy.history import DEPLOY, ROLLBACK, Era, deployed, eras, remember, removed
from tests.fixtures.memory_cluster import MemoryCluster
from tests.fixtures.records import clock, root

A, B, C = "a" * 40, "b" * 40, "c" * 40


def cron(commit: str, name: str = "nightly", flow: str = "tiny", **annotations: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "builder", "builder/flow": flow, "builder/commit": commit}
    marks = {"builder/subject": f"Say {commit[:1]}", "builder/reference": f"r@sha256:{commit[:1]}", **annotations}
    spec = {"workflowSpec": {"workflowTemplateRef": {"name": f"{flow}-{commit[:12]}-0"}}}
    return {"kind": "CronWorkflow", "metadata": {"name": name, "labels": labels, "annotations": marks}, "spec": spec}


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes down that something was done at that time."""

    def write(
        seconds: float, manifest: dict[str, Any], how: str = DEPLOY, who: str = "Ada", before: str = "", namespace: str = "team"
    ) -> None:
        monkeypatch.setattr(history, "now", lambda: clock(seconds))
        entry = removed(manifest, who, namespace) if how == "removed" else deployed(manifest, how, who, namespace, before)
        remember(root(tmp_path), entry)

    return write


def seen(tmp_path: Path, cluster: MemoryCluster | None = None, flow: str = "tiny", last: int = 20) -> list[Era]:
    return eras(root(tmp_path), cluster, flow, "team", last)


def told(found: list[Era]) -> list[tuple[str, str, str, str, str]]:
    return [(era.deployed.schedule, era.deployed.commit[:1], era.deployed.when, era.until, era.deployed.how) for era in found]


def test_one_after_the_other(tmp_path: Path, at: Any) -> None:
    at(0, cron(A))
    at(10, cron(B), before=A)
    at(20, cron(A), ROLLBACK, "Bob", B)
    assert told(seen(tmp_path)) == [
        ("nightly", "a", clock(20), "", "rollback"),
        ("nightly", "b", clock(10), clock(20), "deploy"),
        ("nightly", "a", clock(0), clock(10), "deploy"),
    ]
    newest = seen(tmp_path)[0].deployed
    assert (newest.subject, newest.reference, newest.who, newest.before) == ("Say a", "r@sha256:a", "Bob", B)


def test_each_schedule_has_its_own(tmp_path: Path, at: Any) -> None:
    at(0, cron(A))
    at(5, cron(A, "weekly"))
    at(10, cron(B))
    at(15, cron(C, "other", "train"))
    assert told(seen(tmp_path)) == [
        ("nightly", "b", clock(10), "", "deploy"),
        ("weekly", "a", clock(5), "", "deploy"),
        ("nightly", "a", clock(0), clock(10), "deploy"),
    ]


def test_the_same_again_is_no_other_time(tmp_path: Path, at: Any) -> None:
    """Only the cron was changed, say."""
    at(0, cron(A))
    at(10, cron(A))
    assert told(seen(tmp_path)) == [("nightly", "a", clock(0), "", "deploy")]


def test_a_schedule_that_was_removed_and_came_back(tmp_path: Path, at: Any) -> None:
    at(0, cron(A))
    at(10, cron(A), "removed")
    at(20, cron(A))
    assert told(seen(tmp_path)) == [("nightly", "a", clock(20), "", "deploy"), ("nightly", "a", clock(0), clock(10), "deploy")]


def test_a_schedule_that_starts_another_flow_now(tmp_path: Path, at: Any) -> None:
    at(0, cron(A))
    at(10, cron(B, flow="train"))
    assert told(seen(tmp_path)) == [("nightly", "a", clock(0), clock(10), "deploy")]


def test_another_namespace_with_the_same_data_root(tmp_path: Path, at: Any) -> None:
    at(0, cron(A))
    at(10, cron(B), namespace="staging")
    assert told(seen(tmp_path)) == [("nightly", "a", clock(0), "", "deploy")]


def test_what_was_not_written_down_is_seen(tmp_path: Path, at: Any) -> None:
    """Whoever deployed was killed before; the CronWorkflow says who it was, and when."""
    cluster = MemoryCluster()
    at(0, cron(A))
    cluster.create(cron(B, **{"builder/deployed": f"{clock(10)}, seen", "builder/deployed-by": "Bob"}))
    assert told(seen(tmp_path, cluster)) == [("nightly", "b", clock(10), "", "seen"), ("nightly", "a", clock(0), clock(10), "deploy")]
    assert (seen(tmp_path, cluster)[0].deployed.who, seen(tmp_path, cluster)[0].deployed.before) == ("Bob", A)
    at(20, cron(B))
    assert len(seen(tmp_path, cluster)) == 2


def test_what_argo_cd_did(tmp_path: Path, at: Any) -> None:
    """It leaves the annotations of the deploy before as they were; the server knows who changed the object last."""
    cluster = MemoryCluster()
    at(0, cron(A))
    found = cron(B, **{"builder/deployed": clock(0), "builder/deployed-by": "Ada"})
    found["metadata"]["managedFields"] = [
        {"manager": "builder", "time": clock(0)},
        {"manager": "argocd-controller", "time": clock(30)},
    ]
    cluster.create(found)
    (newest, before) = seen(tmp_path, cluster)
    assert (newest.deployed.who, newest.deployed.when, before.until) == ("argocd-controller", clock(30), clock(30))


def test_a_cluster_alone(tmp_path: Path) -> None:
    cluster = MemoryCluster()
    assert seen(tmp_path, cluster) == []
    cluster.create(cron(A))
    assert told(seen(tmp_path, cluster)) == [("nightly", "a", "2024-05-01T08:00:00Z", "", "seen")]


def test_no_more_than_were_asked_for(tmp_path: Path, at: Any) -> None:
    for number in range(6):
        at(10 * number, cron("abcdef"[number] * 40))
    found = seen(tmp_path, last=2)
    assert told(found) == [("nightly", "f", clock(50), "", "deploy"), ("nightly", "e", clock(40), clock(50), "deploy")]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"when": 1}', b"\xff", b"null"])
def test_what_is_none_of_ours_is_left_out(tmp_path: Path, at: Any, data: bytes) -> None:
    at(0, cron(A))
    root(tmp_path).put("deploys/nightly/2024-05-01T08:00:00Z-x.json", data)
    root(tmp_path).put("deploys/stray.json", data)
    assert told(seen(tmp_path)) == [("nightly", "a", clock(0), "", "deploy")]


def test_what_a_newer_version_wrote_is_read(tmp_path: Path, at: Any) -> None:
    at(0, cron(A))
    (key,) = [found.key for found in root(tmp_path).list("deploys/")]
    document = json.loads(root(tmp_path).get(key) or b"")
    assert document["schema"] == 1
    root(tmp_path).put(key, json.dumps({**document, "more": 1}).encode())
    assert len(seen(tmp_path)) == 1
