"""What a step's pod asks for, and after which ends it is made again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builder.cluster.pod import resources, toleration
from builder.settings import DeploySettings, ErrorSettings, LaunchSettings, PodSettings, seconds

POD_ENDS = frozenset({"killed", "lost", "memory"})
"""Ends that the step itself cannot forgive, as its process is gone: only the cluster can make a new pod."""

_GONE = (137, 143)  # killed by SIGKILL (out of memory, a node that drains) or SIGTERM: 128 + the signal


_WAITING = PodSettings(cpu="0.1", memory="512Mi")


def waiting_pod(launch: LaunchSettings) -> PodSettings:
    """Of a step: what its settings say, unless that is for each pod of its gang. Then this one only waits."""
    return _WAITING if launch.on == "jobset" else launch.pod


def with_pod(template: Mapping[str, Any], pod: PodSettings) -> dict[str, Any]:
    """A template whose container asks for what the settings say."""
    container = {**template["container"], "resources": resources(pod)}
    result = {**template, "container": container, "nodeSelector": dict(pod.node_selector)}
    if pod.tolerations:
        result["tolerations"] = [toleration(text) for text in pod.tolerations]
    return _with_shared_memory(result, pod.shared_memory) if pod.shared_memory else result


def with_defaults(template: Mapping[str, Any], pod: PodSettings) -> dict[str, Any]:
    """A template whose pod may run where the settings say, unless its flow says so itself; amounts were there when it was compiled."""
    result = dict(template)
    if pod.node_selector and not template.get("nodeSelector"):
        result["nodeSelector"] = dict(pod.node_selector)
    if pod.tolerations and not template.get("tolerations"):
        result["tolerations"] = [toleration(text) for text in pod.tolerations]
    return result


def start_limit(deploy: DeploySettings) -> dict[str, Any]:
    """How long a pod may be on its node until it has ended: an image that cannot be pulled is tried for ever.

    Time in a queue does not count (`activeDeadlineSeconds` counts from the moment at which the node accepts the pod):
    https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
    """
    return {"activeDeadlineSeconds": seconds(deploy.pending_timeout)}


def _with_shared_memory(template: Mapping[str, Any], size: str) -> dict[str, Any]:
    volume = {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": size}}
    container = template["container"]
    mounts = [*container["volumeMounts"], {"name": volume["name"], "mountPath": "/dev/shm"}]  # noqa: S108 - a mount in a pod
    return {**template, "container": {**container, "volumeMounts": mounts}, "volumes": [*template["volumes"], volume]}


def retry_strategy(rule: ErrorSettings, *, goes_on: bool, at_least: int = 0) -> dict[str, Any]:
    """How often Argo makes a new pod. A step that the settings go on without gets one more: it is the one that goes on; one that waits
    for somebody else is made again `at_least` so often.

    A pod whose step ended by itself with an error is not made again: the step has tried as often as it may.
    """
    wanted = POD_ENDS & set(rule.on) and rule.retry
    limit = max((rule.retry if wanted else 0) + goes_on, at_least)
    gone = " || ".join(f"lastRetry.exitCode == '{code}'" for code in _GONE)
    strategy = {"limit": limit, "retryPolicy": "Always", "expression": f"lastRetry.status == 'Error' || {gone}"}
    return {**strategy, "backoff": {"duration": f"{seconds(rule.backoff)}s", "factor": 2}}
