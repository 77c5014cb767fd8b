"""What only a pod can tell: that a node pulls the image, and that the account of steps reads and writes the data root."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from builder.cluster.interface import Cluster
from builder.deploy.isolate import for_built_in, isolated
from builder.deploy.names import MANAGED
from builder.deploy.render import API
from builder.doctor import storage
from builder.doctor.cluster import version_in, when_needed
from builder.doctor.scene import Found, Scene, failed, not_needed, ok
from builder.errors import BuilderError, SettingsError
from builder.image.report import existing_image
from builder.settings import Settings
from builder.source.repository import Git

_LIMIT, _LOOK_EVERY = 60, 1.0  # seconds
_ENDED = ("Succeeded", "Failed", "Error")
_WORK = "/builder-work"


@when_needed
def pods(scene: Scene) -> Found:
    """Runs one small workflow in the image of HEAD, as steps run, and takes it away again."""
    if not scene.deep:
        return not_needed("not tried; --deep runs a pod that pulls the image, and reads and writes the data root")
    if not scene.settings.data.root.startswith("s3://"):
        raise SettingsError(f"[data] root is {scene.settings.data.root}: pods cannot reach it", 'set root = "s3://bucket/prefix"')
    with Git.open(scene.start) as git:
        commit = git.resolve("HEAD")
    image = existing_image(storage.workshop(scene).store, commit, commit.sha)
    if image is None:
        return failed(f"HEAD ({commit.sha[:12]}) has no image to try", "run `builder image`")
    return try_pod(scene.open_cluster(), scene.settings, image.reference)


def try_pod(cluster: Cluster, settings: Settings, reference: str, limit: float = _LIMIT) -> Found:
    """What the pod said, or why there was none in `limit` seconds. The workflow is gone afterwards."""
    name = f"builder-doctor-{secrets.token_hex(3)}"
    cluster.create(probing(name, cluster.namespace, settings, reference))
    try:
        phase, waited = _wait(cluster, name, time.monotonic() + limit)
        said = _said(cluster, name)
    finally:
        cluster.delete("workflows", name)
    if phase == "Succeeded":
        return ok(f"a pod pulled the image; {said}")
    why = said or "; ".join(waited) or "no reason is known"
    late = "" if phase in _ENDED else f"not done in {limit:.0f} s: "
    return failed(f"{late}{why}", "check [deploy] secrets, pull_secrets and account, and that nodes reach the registry and [data] endpoint")


def probing(name: str, namespace: str, settings: Settings, reference: str) -> dict[str, Any]:
    """The Workflow: one container, with what steps have."""
    deploy, data = settings.deploy, settings.data
    container = {
        "name": "main",
        "image": reference,
        "command": ["python", "-m", "builder.steps.probe", data.root, data.endpoint, f"doctor/{name}"],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        "envFrom": [{"secretRef": {"name": secret}} for secret in deploy.secrets],
    }
    template = isolated({"name": "probe", "container": container}, for_built_in(_WORK))
    pulling = {"imagePullSecrets": [{"name": secret} for secret in deploy.pull_secrets]} if deploy.pull_secrets else {}
    spec = {
        "entrypoint": "probe",
        "serviceAccountName": deploy.account,
        "activeDeadlineSeconds": _LIMIT,
        "templates": [template],
        **pulling,
    }
    metadata = {"name": name, "namespace": namespace, "labels": MANAGED}
    return {"apiVersion": API, "kind": "Workflow", "metadata": metadata, "spec": {**spec, "templates": [template]}}


def _wait(cluster: Cluster, name: str, deadline: float) -> tuple[str, list[str]]:
    """The phase at the end, or at the deadline; and every message on the way, as the last one often is that time is over."""
    messages: dict[str, None] = {}
    while True:
        status: Mapping[str, Any] = (cluster.get("workflows", name) or {}).get("status") or {}
        messages |= dict.fromkeys(_messages(status))
        phase = str(status.get("phase", ""))
        if phase in _ENDED or time.monotonic() > deadline:
            return phase, list(messages)
        time.sleep(_LOOK_EVERY)


def _said(cluster: Cluster, name: str) -> str:
    """The last line of the pod's log that is not Argo's own, if it came so far, and the version that Argo's part of it tells."""
    for pod in cluster.list("pods", {"workflows.argoproj.io/workflow": name}):
        version = version_in(cluster, pod["metadata"]["name"])
        told = f"; Argo Workflows {'.'.join(map(str, version))}" if version else ""
        try:
            lines = b"".join(cluster.log(pod["metadata"]["name"], "main")).decode("utf-8", "replace").strip().splitlines()
        except BuilderError:
            continue
        if own := [line for line in lines if " argo=true" not in line]:
            return own[-1] + told
    return ""


def _messages(status: Mapping[str, Any]) -> list[str]:
    """Those of pods, which say more than the workflow's own."""
    told = [str(node["message"]) for node in (status.get("nodes") or {}).values() if node.get("message")]
    told = told or [str(message) for message in [status.get("message")] if message]
    return [message for message in told if message not in ("PodInitializing", "ContainerCreating")]
