"""Whether a step would run in a pod of its own as the settings have it: nodes with what it asks for, and leave to pull its image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builder.cluster.interface import Cluster
from builder.doctor.scene import Found, Scene, failed, not_needed, ok
from builder.settings import LaunchSettings, PodSettings


class InPod:
    """The checks of one step that are no other's."""

    def __init__(self, step: str, launch: LaunchSettings) -> None:
        self._step, self._pod = step, launch.pod

    def gpus(self, scene: Scene) -> Found:
        if not self._pod.gpus:
            return not_needed(f"none asked for: [launch.{self._step}.pod] gpus")
        return self._of_nodes(scene, self._pod.gpu_resource, self._pod.gpus)

    def nodes(self, scene: Scene) -> Found:
        """By labels and taints; what is free there changes all the time."""
        return self._of_nodes(scene, "", 0)

    def _of_nodes(self, scene: Scene, resource: str, wanted: int) -> Found:
        cluster = scene.open_cluster()
        if not cluster.may("list", "nodes"):
            return not_needed("this account may not list nodes: an administrator can tell")
        nodes = list(cluster.list("nodes"))
        fitting = [node for node in nodes if _fits(node, self._pod)]
        if not fitting:
            return failed(f"none of {len(nodes)} nodes has the labels of node_selector, and only taints that are tolerated", self._remedy())
        most = max(_has(node, resource) for node in fitting) if resource else 0
        if most < wanted:
            text = f"asked for {wanted} {resource}; available: at most {most} on one of {len(fitting)} nodes"
            return failed(text, f"{self._remedy()}; a node tells of GPUs when the device plugin of their maker runs there")
        enough = sum(_has(node, resource) >= wanted for node in fitting) if resource else len(fitting)
        return ok(f"{enough} of {len(nodes)} nodes" + (f" have {wanted} {resource} or more" if resource else " may take it"))

    def _remedy(self) -> str:
        return f"look at [launch.{self._step}.pod] gpus, gpu_resource, node_selector and tolerations"


def pulls(scene: Scene) -> Found:
    """What can be known without a pod: the secrets that nodes pull with. --deep has a node pull the image."""
    cluster: Cluster = scene.open_cluster()
    names = scene.settings.deploy.pull_secrets
    if not names:
        return ok("no pull_secrets in [deploy]: nodes pull as they are; --deep tries")
    if not cluster.may("get", "secrets"):
        return ok(f"whether {', '.join(names)} is there, this account may not see: --deep tries")
    missing = [name for name in names if cluster.get("secrets", name) is None]
    return failed(f"no secret {', '.join(missing)}", "[deploy] pull_secrets names it") if missing else ok(f"{', '.join(names)} is there")


def _fits(node: Mapping[str, Any], pod: PodSettings) -> bool:
    labels = node["metadata"].get("labels") or {}
    taints = node.get("spec", {}).get("taints") or []
    return pod.node_selector.items() <= labels.items() and all(_tolerated(taint, pod.tolerations) for taint in taints)


def _tolerated(taint: Mapping[str, Any], tolerations: tuple[str, ...]) -> bool:
    """`key`, `key=value` or `key=value:Effect`, as the settings write them; a taint that only would rather not is none."""
    key, value, effect = str(taint.get("key")), str(taint.get("value", "")), str(taint.get("effect"))
    return effect == "PreferNoSchedule" or bool({key, f"{key}={value}", f"{key}={value}:{effect}", f"{key}:{effect}"} & set(tolerations))


def _has(node: Mapping[str, Any], resource: str) -> int:
    count = str((node.get("status", {}).get("allocatable") or {}).get(resource, "0"))
    return int(count) if count.isdecimal() else 0
