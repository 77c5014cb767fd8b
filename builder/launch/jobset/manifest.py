"""The JobSet of one attempt of a step. It never restarts by itself: another attempt is another JobSet, and the step decides about it.

https://jobset.sigs.k8s.io/docs/reference/jobset.v1alpha2/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from builder.cluster.pod import resources, toleration
from builder.launch.rendezvous import same_for_all, where
from builder.model.oci import sha256
from builder.settings import JobSetSettings, PodSettings

KIND = "jobsets"
TOOL_PATH = "/opt/builder"
"""Where the commit's image has this tool."""

CONTAINER = "main"
WORK = "/builder-work"
"""The directory of a pod that is its own; nothing of the team's is in it, so Python may be started there."""

JOB, TREE, OUTPUT, REQUEST = "BUILDER_JOB", "BUILDER_TREE", "BUILDER_RUN_OUTPUT", "BUILDER_REQUEST"
"""Variables of a pod: where the job lies in the data root, the commit's files, where the run's are to be, the request."""
RANK = "JOB_COMPLETION_INDEX"
"""Kubernetes' own, in the pods of an indexed Job."""

OF_RUN, OF_STEP = "builder/run", "builder/step"
_QUEUE, _PRIORITY = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class"
_NODES = "n"
"""The one replicated job; short, as it is part of the pods' names."""

_LONGEST = 46
"""So that `<name>-n-0-999-abcde`, a pod's name and host name, is no longer than 63."""
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
_COMMAND = f'export {TREE}="$PWD" && cd {WORK} && exec python -m builder.steps.rank'
"""The image says where the commit's files are: that is where a container begins."""


@dataclass(frozen=True, slots=True)
class Pods:
    """What all pods of a run have: image by digest, account, secrets, how long an ended JobSet stays (seconds), variables."""

    image: str
    account: str = ""
    secrets: tuple[str, ...] = ()
    pull_secrets: tuple[str, ...] = ()
    keep: int = 604800
    env: Mapping[str, str] | None = None


def name_of(run: str, step: str, attempt: int) -> str:
    """The same for the same attempt; readable where that is short enough for the names of pods."""
    name = f"{run}-{step}-a{attempt}"
    if len(name) <= _LONGEST and _NAME.match(name):
        return name
    return f"gang-{sha256(name.encode())[7:23]}-a{attempt}"


def jobset(name: str, namespace: str, labels: Mapping[str, str], settings: JobSetSettings, pod: PodSettings, pods: Pods) -> dict[str, Any]:
    """`labels` say whose it is. All pods of it end when one fails."""
    priority = {_PRIORITY: settings.priority} if settings.priority else {}
    queued = {_QUEUE: settings.queue} if settings.queue else {}
    marks = {"app.kubernetes.io/managed-by": "builder", **labels}
    job = {
        "parallelism": settings.nodes,
        "completions": settings.nodes,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "template": {"metadata": {"labels": marks}, "spec": _pod(name, namespace, settings, pod, pods)},
    }
    spec = {
        "failurePolicy": {"maxRestarts": 0},
        "ttlSecondsAfterFinished": pods.keep,
        "replicatedJobs": [{"name": _NODES, "replicas": 1, "template": {"spec": job}}],
    }
    metadata = {"name": name, "namespace": namespace, "labels": {**marks, **queued, **priority}}
    return {"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": metadata, "spec": spec}


def _pod(name: str, namespace: str, settings: JobSetSettings, pod: PodSettings, pods: Pods) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [{"name": "builder-work", "emptyDir": {}}]
    mounts = [{"name": "builder-work", "mountPath": WORK}]
    if pod.shared_memory:
        volumes.append({"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": pod.shared_memory}})
        mounts.append({"name": "shared-memory", "mountPath": "/dev/shm"})  # noqa: S108 - a mount in a pod
    tool = {"PYTHONPATH": TOOL_PATH, "PYTHONNOUSERSITE": "1"}
    first = where(f"{name}-{_NODES}-0-0.{name}.{namespace}.svc")
    found = {**tool, **same_for_all(settings.nodes, pod.gpus), **first, **(pods.env or {})}
    container = {
        "name": CONTAINER,
        "image": pods.image,
        "command": ["sh", "-c", _COMMAND],
        "env": [{"name": key, "value": value} for key, value in found.items()],
        "envFrom": [{"secretRef": {"name": secret}} for secret in pods.secrets],
        "resources": resources(pod),
        "volumeMounts": mounts,
    }
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 30,
        "containers": [container],
        "volumes": volumes,
    }
    if pods.account:
        spec["serviceAccountName"] = pods.account
    if pods.pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret} for secret in pods.pull_secrets]
    if pod.node_selector:
        spec["nodeSelector"] = dict(pod.node_selector)
    if pod.tolerations:
        spec["tolerations"] = [toleration(text) for text in pod.tolerations]
    return spec
