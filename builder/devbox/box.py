"""A box as the objects it is in the cluster: a pod, and a claim for its home. What is known of it is on the pod."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from builder.cluster.pod import resources, toleration
from builder.deploy.isolate import TOOL_PATH
from builder.deploy.names import MANAGED
from builder.devbox.contract import HOME, IDLE, KEYS, PORT, SHELL, TEAM_PATH, TREE, WORK
from builder.errors import UsageError
from builder.settings import DevboxSettings, seconds

LABEL = "builder/devbox"
REFERENCE, COMMIT, SUBJECT, WHO, SSH = "builder/reference", "builder/commit", "builder/subject", "builder/who", "builder/ssh"
CONTAINER = "box"

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?\Z")
_SERVE = f'export {TREE}="$PWD" {TEAM_PATH}="${{PYTHONPATH-}}" && cd {WORK} && PYTHONPATH={TOOL_PATH} exec python -m builder.devbox.serve'
_WITHOUT = 'sleep "$1"'


@dataclass(frozen=True, slots=True)
class Wanted:
    """A box to be: `keys` are the public keys that may enter, a line each; `ssh`: whether the image has this tool, which serves it;
    `gpus`: as many, and no others; None takes what runs."""

    name: str
    who: str
    reference: str
    commit: str
    subject: str
    keys: str
    ssh: bool = True
    gpus: int | None = None


@dataclass(frozen=True, slots=True)
class Box:
    """A box that is there. `state`: `starting`, `running`, `stopping`, `stopped` (by itself: idle) or `failed`; `detail` says why.
    `gpus` and `idle` (seconds) are what it was given when it was started."""

    name: str
    who: str
    commit: str
    subject: str
    reference: str
    state: str
    started: str
    ssh: bool
    detail: str = ""
    gpus: int = 0
    idle: int = 0


def checked_name(name: str) -> str:
    """Raises UsageError for what cannot be part of a pod's name and a host's."""
    if not _NAME.match(name):
        raise UsageError(f"{name!r} cannot be a box's name", "lower case letters, digits and hyphens, at most 30")
    return name


def name_for(person: str) -> str:
    """The box that somebody means who names none."""
    return re.sub(r"[^a-z0-9]+", "-", person.lower()).strip("-")[:30].strip("-") or "me"


def pod_name(name: str) -> str:
    return f"devbox-{name}"


def home_claim(name: str, who: str, namespace: str, settings: DevboxSettings) -> dict[str, Any]:
    """The PersistentVolumeClaim of the home: of one node at a time."""
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": settings.home}}}
    if settings.storage_class:
        spec["storageClassName"] = settings.storage_class
    metadata = {"name": f"{pod_name(name)}-home", "namespace": namespace, "labels": _labels(name), "annotations": {WHO: who}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def pod(wanted: Wanted, namespace: str, settings: DevboxSettings, pull_secrets: tuple[str, ...] = ()) -> dict[str, Any]:
    """The pod. It ends by itself when it is idle, and is then not started again; the home stays."""
    digest = wanted.reference.rpartition(":")[2]
    told = {REFERENCE: wanted.reference, COMMIT: wanted.commit, SUBJECT: wanted.subject, WHO: wanted.who}
    told[SSH] = "yes" if wanted.ssh else "no"
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 10,
        "hostname": wanted.name,
        "containers": [_container(wanted, settings)],
        "volumes": _volumes(wanted.name, settings),
        "nodeSelector": dict(settings.pod.node_selector),
        "tolerations": [toleration(text) for text in settings.pod.tolerations],
        "imagePullSecrets": [{"name": name} for name in pull_secrets],
    }
    labels = {**_labels(wanted.name), "builder/digest": digest[:16]}
    metadata = {"name": pod_name(wanted.name), "namespace": namespace, "labels": labels, "annotations": told}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _container(wanted: Wanted, settings: DevboxSettings) -> dict[str, Any]:
    limit = seconds(settings.idle)
    told = {KEYS: wanted.keys, IDLE: str(limit), SHELL: settings.shell, "HOME": HOME}
    served = {
        "command": ["sh", "-c", _SERVE],
        "ports": [{"name": "ssh", "containerPort": PORT}],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1, "failureThreshold": 600},
    }
    return {
        "name": CONTAINER,
        "image": wanted.reference,
        **(served if wanted.ssh else {"command": ["sh", "-c", _WITHOUT, "sh", str(limit)]}),
        "env": [{"name": name, "value": value} for name, value in told.items()],
        "envFrom": [{"secretRef": {"name": secret}} for secret in settings.secrets],
        "resources": resources(settings.pod),
        "volumeMounts": _mounts(settings),
    }


def _mounts(settings: DevboxSettings) -> list[dict[str, str]]:
    shared = [{"name": "shared-memory", "mountPath": "/dev/shm"}] if settings.pod.shared_memory else []  # noqa: S108 - a mount in a pod
    return [{"name": "home", "mountPath": HOME}, {"name": "work", "mountPath": WORK}, *shared]


def _volumes(name: str, settings: DevboxSettings) -> list[dict[str, Any]]:
    shared = {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": settings.pod.shared_memory}}
    home = {"name": "home", "persistentVolumeClaim": {"claimName": f"{pod_name(name)}-home"}}
    return [home, {"name": "work", "emptyDir": {}}, *([shared] if settings.pod.shared_memory else [])]


def _labels(name: str) -> dict[str, str]:
    return {**MANAGED, LABEL: name}


def box_of(found: Mapping[str, Any]) -> Box:
    """What the cluster knows of a box, from its pod."""
    metadata, status = found["metadata"], found.get("status") or {}
    told = metadata.get("annotations") or {}
    state, detail = ("stopping", "") if metadata.get("deletionTimestamp") else _state(status)
    who, commit, subject, reference = (told.get(name, "") for name in (WHO, COMMIT, SUBJECT, REFERENCE))
    started = metadata.get("creationTimestamp", "")
    gpus, idle = _given((found.get("spec") or {}).get("containers") or ())
    return Box(metadata["labels"][LABEL], who, commit, subject, reference, state, started, told.get(SSH) == "yes", detail, gpus, idle)


def _given(containers: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """GPUs, and seconds until it stops. Of all that a pod asks for, only devices have a `/` in their name."""
    mine: Mapping[str, Any] = next((one for one in containers if one["name"] == CONTAINER), {})
    limits = (mine.get("resources") or {}).get("limits") or {}
    idle = next((one.get("value", "") for one in mine.get("env") or () if one["name"] == IDLE), "")
    return sum(int(count) for name, count in limits.items() if "/" in name), int(idle or 0)


def _state(status: Mapping[str, Any]) -> tuple[str, str]:
    phase = status.get("phase", "Pending")
    if phase == "Succeeded":
        return "stopped", "idle"
    if phase == "Failed":
        return "failed", _why(status)
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in status.get("conditions") or ())
    return ("running", "") if ready else ("starting", _why(status))


def _why(status: Mapping[str, Any]) -> str:
    """What Kubernetes says of a pod that does not run, or runs no more."""
    for container in status.get("containerStatuses") or ():
        for state in (container.get("state") or {}).values():
            if said := " ".join(filter(None, (state.get("reason"), state.get("message")))):
                return said
    waiting = (c for c in status.get("conditions") or () if c.get("status") == "False" and c.get("message"))
    return next((str(condition["message"]) for condition in waiting), str(status.get("reason") or ""))
