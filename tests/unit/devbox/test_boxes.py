"""Boxes in a cluster that is in memory: made once, found, made anew, whose they are, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

from builder.devbox import boxes, contract
from builder.devbox.box import Wanted, checked_name, name_for, pod
from builder.errors import ClusterError, UsageError
from builder.settings import DevboxSettings, PodSettings
from tests.fixtures.memory_cluster import MemoryCluster

DIGEST = "0123456789abcdef" * 4
ADA = Wanted("ada", "ada", f"registry.example.com/team/images@sha256:{DIGEST}", "a" * 40, "Begin", "ssh-ed25519 AAAA ada")
SETTINGS = DevboxSettings()


def status(cluster: MemoryCluster, **facts: Any) -> None:
    cluster.patch("pods", "devbox-ada", {"status": facts})


def ready(cluster: MemoryCluster) -> None:
    status(cluster, phase="Running", conditions=[{"type": "Ready", "status": "True"}])


def test_a_box_is_made_once_with_a_home() -> None:
    cluster = MemoryCluster()
    assert boxes.start(cluster, ADA, SETTINGS) is True
    assert boxes.start(cluster, ADA, SETTINGS) is False
    (box,) = boxes.boxes(cluster)
    assert (box.name, box.who, box.commit, box.state, box.ssh) == ("ada", "ada", "a" * 40, "starting", True)
    assert boxes.has_home(cluster, "ada")
    ready(cluster)
    assert boxes.wait_until_running(cluster, "ada", print, 1).state == "running"


def test_another_commit_needs_the_box_to_be_stopped_first() -> None:
    cluster = MemoryCluster()
    boxes.start(cluster, ADA, SETTINGS)
    other = Wanted("ada", "ada", ADA.reference.replace("0123", "3210"), "b" * 40, "Go on", ADA.keys)
    with pytest.raises(UsageError, match="runs aaaaaaaaaaaa Begin") as caught:
        boxes.start(cluster, other, SETTINGS)
    assert "builder devbox stop ada" in caught.value.hint
    assert boxes.stop(cluster, "ada", home=False) == ["box"]
    assert boxes.start(cluster, other, SETTINGS) is True


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_one_that_has_ended_is_made_anew_on_the_same_home(phase: str) -> None:
    cluster = MemoryCluster()
    boxes.start(cluster, ADA, SETTINGS)
    home = cluster.get("persistentvolumeclaims", "devbox-ada-home")
    status(cluster, phase=phase)
    assert boxes.start(cluster, ADA, SETTINGS) is True
    assert boxes.find(cluster, "ada").state == "starting"  # type: ignore[union-attr]
    assert cluster.get("persistentvolumeclaims", "devbox-ada-home") == home


def test_a_name_is_whose_home_it_is_even_while_nothing_runs() -> None:
    cluster = MemoryCluster()
    boxes.start(cluster, ADA, SETTINGS)
    boxes.stop(cluster, "ada", home=False)
    eve = Wanted("ada", "eve", ADA.reference, ADA.commit, ADA.subject, ADA.keys)
    with pytest.raises(UsageError, match="is ada's"):
        boxes.start(cluster, eve, SETTINGS)
    assert boxes.stop(cluster, "ada", home=True) == ["home"]
    assert boxes.stop(cluster, "ada", home=True) == []
    assert boxes.start(cluster, eve, SETTINGS) is True


def test_what_kubernetes_says_of_one_that_does_not_run() -> None:
    cluster, told = MemoryCluster(), list[str]()
    boxes.start(cluster, ADA, SETTINGS)
    status(cluster, phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "message": "0/3 nodes: no GPU"}])
    with pytest.raises(ClusterError, match="does not run after 0 s: 0/3 nodes: no GPU"):
        boxes.wait_until_running(cluster, "ada", told.append, 0)
    assert told == ["0/3 nodes: no GPU"]
    status(cluster, phase="Failed", containerStatuses=[{"state": {"terminated": {"reason": "OOMKilled"}}}])
    with pytest.raises(ClusterError, match="failed: OOMKilled"):
        boxes.wait_until_running(cluster, "ada", told.append, 0)


def test_the_host_is_known_by_the_pods_log() -> None:
    cluster = MemoryCluster()
    boxes.start(cluster, ADA, SETTINGS)
    cluster.logs["devbox-ada", "box"] = f"{contract.HOST_KEY}ssh-ed25519 AAAAhost\nbusy\nidle: stops soon\n".encode()
    assert boxes.host_key(cluster, "ada") == "ssh-ed25519 AAAAhost"
    assert boxes.says(cluster, "ada") == "idle: stops soon"
    cluster.logs["devbox-ada", "box"] = b"Traceback\n"
    with pytest.raises(ClusterError, match="has no host key"):
        boxes.host_key(cluster, "ada")


def test_foreign_pods_are_no_boxes() -> None:
    cluster = MemoryCluster()
    cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "devbox-ada", "labels": {"app": "x"}}})
    assert boxes.find(cluster, "ada") is None
    assert list(boxes.boxes(cluster)) == []


def test_the_pod_asks_for_what_the_settings_say_and_is_pinned() -> None:
    settings = DevboxSettings(pod=PodSettings(gpus=2, shared_memory="8Gi", tolerations=("gpu",)), secrets=("s3",), storage_class="fast")
    made = pod(ADA, "team", settings, ("pull",))
    (container,) = made["spec"]["containers"]
    assert container["image"] == ADA.reference
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert made["metadata"]["labels"]["builder/digest"] == DIGEST[:16]
    assert made["spec"]["automountServiceAccountToken"] is False
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/home/dev", "/builder-work", "/dev/shm"}


def test_an_image_without_the_tool_serves_no_ssh_and_still_ends() -> None:
    made = pod(Wanted("ada", "ada", ADA.reference, "", "", "", ssh=False), "team", DevboxSettings(idle="90s"))
    (container,) = made["spec"]["containers"]
    assert container["command"][-1] == "90"
    assert "readinessProbe" not in container


@pytest.mark.parametrize("name", ["", "Ada", "a" * 31, "-a", "a-", "a/b", "a b", "ä", "a\n"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a box's name"):
        checked_name(name)


@pytest.mark.parametrize(
    ("person", "name"), [("Ada.Lovelace", "ada-lovelace"), ("uid 1000", "uid-1000"), ("---", "me"), ("x" * 40, "x" * 30)]
)
def test_everybodys_own_box_has_a_name(person: str, name: str) -> None:
    assert checked_name(name_for(person)) == name
