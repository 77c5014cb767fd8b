"""What every cluster must do: the one in memory, and a real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builder.cluster.interface import WideCluster
from builder.cluster.kubernetes import connect
from builder.errors import ClusterError
from tests.fixtures.memory_cluster import MemoryCluster

LABELS = {"app": "contract"}


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.cluster)])
def cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> WideCluster:
    if request.param == "memory":
        return MemoryCluster()
    kubeconfig: Path = request.getfixturevalue("kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    return connect(request.getfixturevalue("namespace"))


def config_map(name: str = "one", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": LABELS}, "data": data}


def data_of(cluster: WideCluster, name: str = "one") -> Any:
    found = cluster.get("configmaps", name)
    return None if found is None else found.get("data")


def test_nothing_is_there(cluster: WideCluster) -> None:
    assert cluster.get("configmaps", "one") is None
    assert cluster.patch("configmaps", "one", {"data": {"a": "1"}}) is None
    assert cluster.delete("configmaps", "one") is False
    assert list(cluster.list("configmaps", LABELS)) == []


def test_create_never_changes_what_is_there(cluster: WideCluster) -> None:
    assert cluster.create(config_map(a="1")) is True
    assert cluster.create(config_map(a="2")) is False
    found = cluster.get("configmaps", "one")
    assert found is not None
    assert found["data"] == {"a": "1"}
    assert found["metadata"]["namespace"] == cluster.namespace
    assert found["metadata"]["creationTimestamp"].endswith("Z")


def test_apply_makes_and_changes_and_leaves_what_it_does_not_name(cluster: WideCluster) -> None:
    first = cluster.apply(config_map(a="1"))
    again = cluster.apply(config_map(a="1"))
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    cluster.patch("configmaps", "one", {"data": {"b": "2"}})
    assert cluster.apply(config_map(a="3"))["data"] == {"a": "3", "b": "2"}


def test_patch_merges(cluster: WideCluster) -> None:
    cluster.create(config_map(a="1", b="2"))
    changed = cluster.patch("configmaps", "one", {"data": {"a": None, "c": "3"}})
    assert changed is not None
    assert changed["data"] == data_of(cluster) == {"b": "2", "c": "3"}


def test_list_by_labels(cluster: WideCluster) -> None:
    for name in ("one", "two"):
        cluster.create(config_map(name))
    cluster.create({**config_map("three"), "metadata": {"name": "three"}})
    assert sorted(found["metadata"]["name"] for found in cluster.list("configmaps", LABELS)) == ["one", "two"]
    assert {"one", "two", "three"} <= {found["metadata"]["name"] for found in cluster.list("configmaps")}


def test_what_is_deleted_is_gone(cluster: WideCluster) -> None:
    cluster.create(config_map())
    assert cluster.delete("configmaps", "one") is True
    assert data_of(cluster) is None


def test_the_log_of_no_pod(cluster: WideCluster) -> None:
    with pytest.raises(ClusterError, match="the log of pod none in namespace"):
        list(cluster.log("none", "main"))


def test_who_may(cluster: WideCluster) -> None:
    for verb, kind, name in (
        ("create", "workflowtemplates", ""),
        ("get", "pods/log", ""),
        ("patch", "configmaps", "one"),
        ("get", "nodes", ""),
    ):
        assert cluster.may(verb, kind, name) is True


def test_where_it_is(cluster: WideCluster) -> None:
    assert cluster.server.startswith("https://")


def test_list_everywhere_has_what_is_here(cluster: WideCluster) -> None:
    cluster.create(config_map("here"))
    assert ("here", cluster.namespace) in [
        (found["metadata"]["name"], found["metadata"]["namespace"]) for found in cluster.list_everywhere("configmaps")
    ]


def test_it_knows_which_kinds_there_are(cluster: WideCluster) -> None:
    assert all(map(cluster.knows, ("pods", "workflows", "workflowtemplates", "statefulsets", "cronjobs")))
