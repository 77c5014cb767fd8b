"""What Kubernetes says of a gang, as values: JobSet, the Workload that Kueue makes of it, its pods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]

OF_JOBSET = "jobset.sigs.k8s.io/jobset-name"
OF_JOB = "kueue.x-k8s.io/job-uid"
_INDEX = "batch.kubernetes.io/job-completion-index"

_NEVER = ("maximum capacity", "doesn't exist")
"""What Kueue says of a gang that will not start however long it waits: more than the queue has at all, or no such queue."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a gang does not begin, in Kueue's words; `never`: it will not, unless somebody changes the queue."""

    why: str
    never: bool = False


def ended(jobset: Object) -> str:
    """`Completed`, `Failed`, or nothing while it goes on."""
    return str((jobset.get("status") or {}).get("terminalState", ""))


def is_leaving(jobset: Object) -> bool:
    return bool(jobset["metadata"].get("deletionTimestamp"))


def waiting(workload: Object | None) -> Waiting | None:
    """None when it may begin. Without a Workload Kueue has not looked yet."""
    if workload is None:
        return Waiting("Kueue has not looked at it yet")
    reserved = _condition(workload, "QuotaReserved")
    if reserved.get("status") == "True":
        return None if _condition(workload, "Admitted").get("status", "True") == "True" else Waiting("it waits to be admitted")
    why = str(reserved.get("message", ""))
    return Waiting(why or "Kueue has not looked at it yet", any(text in why for text in _NEVER))


def evicted(workload: Object | None) -> str:
    """Why Kueue took away what the gang had; empty when it did not."""
    found = _condition(workload or {}, "Evicted")
    return f"{found.get('reason', '')}: {found.get('message', '')}" if found.get("status") == "True" else ""


def index_of(pod: Object) -> int:
    """The rank of a pod."""
    metadata = pod["metadata"]
    return int((metadata.get("labels") or {}).get(_INDEX) or (metadata.get("annotations") or {}).get(_INDEX) or 0)


def is_disrupted(pods: Iterable[Object]) -> bool:
    """Whether one was ended from outside: evicted, preempted, its node gone.

    https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
    """
    return any(_condition(pod, "DisruptionTarget").get("status") == "True" or _reason(pod) in ("Evicted", "NodeLost") for pod in pods)


def ran_out_of_memory(pods: Iterable[Object]) -> bool:
    return any((state.get("state", {}).get("terminated") or {}).get("reason") == "OOMKilled" for pod in pods for state in _states(pod))


def unready(pods: Iterable[Object]) -> str:
    """Why pods that may begin have not: no node has room, or their image cannot be pulled. Empty when all have."""
    for pod in pods:
        scheduled = _condition(pod, "PodScheduled")
        if scheduled.get("status") == "False":
            return f"{pod['metadata']['name']}: {scheduled.get('message', scheduled.get('reason', ''))}"
        for state in _states(pod):
            held = state.get("state", {}).get("waiting") or {}
            if held.get("reason") in ("ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError", "InvalidImageName"):
                return f"{pod['metadata']['name']}: {held['reason']}: {held.get('message', '')}"
    return ""


def has_begun(pod: Object) -> bool:
    """Whether its container was started, so that it has a log."""
    return any(state.get("state", {}).get("running") or state.get("state", {}).get("terminated") for state in _states(pod))


def _states(pod: Object) -> list[Object]:
    return list((pod.get("status") or {}).get("containerStatuses") or ())


def _reason(pod: Object) -> str:
    return str((pod.get("status") or {}).get("reason", ""))


def _condition(found: Object, kind: str) -> Object:
    conditions = (found.get("status") or {}).get("conditions") or ()
    return next((condition for condition in conditions if condition["type"] == kind), {})
