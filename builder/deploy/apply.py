"""Creates in the cluster what a release needs, unless it is there: the template, and how many runs go on at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from builder.deploy.cluster import Cluster
from builder.deploy.render import API, QUEUES
from builder.errors import DeployError
from builder.settings import QueueSettings

TEMPLATE_LABEL = "workflows.argoproj.io/workflow-template"
"""By which Argo, too, finds the runs of a template."""

_NOTICED = 30.0  # seconds after which Argo's controller knows a template


@dataclass(frozen=True, slots=True)
class Applied:
    """An object of the cluster, and what was done: `created`, `found`, `changed`."""

    kind: str
    name: str
    done: str


def ensure_template(cluster: Cluster, template: Mapping[str, Any]) -> tuple[Applied, bool]:
    """A template is created or found, never updated: its name says what it holds. Whether it is so new that Argo may not know it yet.

    Raises DeployError when something else has its name.
    """
    name = template["metadata"]["name"]
    if cluster.create(template):
        return Applied("template", name, "created"), True
    there = cluster.get("workflowtemplates", name)
    if there is not None and digest_of(there) != digest_of(template):
        raise DeployError(
            f"workflowtemplate {name} is there, and runs another image", f"somebody changed it: kubectl delete workflowtemplate {name}"
        )
    return Applied("template", name, "found"), there is None or _age(there) < _NOTICED


def _age(found: Mapping[str, Any]) -> float:
    """In seconds, by two clocks that need not agree: only good for telling old from new."""
    made = datetime.strptime(found["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return (datetime.now(timezone.utc) - made).total_seconds()


def digest_of(template: Mapping[str, Any]) -> str:
    """The image that a template runs."""
    return str((template["metadata"].get("annotations") or {}).get("builder/reference", ""))


def ensure_queue(cluster: Cluster, flow: str, queue: QueueSettings) -> Applied | None:
    """The number of runs of the flow that may go on at once; nothing when any number may."""
    if not queue.at_once:
        return None
    wanted = str(queue.at_once)
    there = cluster.get("configmaps", QUEUES)
    if there is not None and (there.get("data") or {}).get(flow) == wanted:
        return Applied("queue", flow, "found")
    if there is None and cluster.create(_config_map(cluster.namespace, {flow: wanted})):
        return Applied("queue", flow, "created")
    cluster.patch("configmaps", QUEUES, {"data": {flow: wanted}})
    return Applied("queue", flow, "changed")


def _config_map(namespace: str, data: Mapping[str, str]) -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "builder"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": QUEUES, "namespace": namespace, "labels": labels},
        "data": dict(data),
    }


def workflow(template: Mapping[str, Any], run: str, request: str, annotations: Mapping[str, str], *, fresh: bool) -> dict[str, Any]:
    """A run of the template, as an object to create. `request` is packed.

    Argo's controller looks templates up in what it has seen of the cluster, and fails a run of one that it has not seen yet
    ("workflowtemplates ... not found"): a run of a `fresh` one carries the template's spec itself.
    """
    marks = template["metadata"]
    labels = {key: value for key, value in marks["labels"].items() if key.startswith("builder/")}
    metadata = {
        "name": run,
        "namespace": marks["namespace"],
        "labels": {**labels, "builder/run": run, TEMPLATE_LABEL: marks["name"]},
        "annotations": {"builder/reference": marks["annotations"]["builder/reference"], **annotations},
    }
    spec = template["spec"] if fresh else {"workflowTemplateRef": {"name": marks["name"]}}
    arguments = {"parameters": [{"name": "request", "value": request}]}
    return {"apiVersion": API, "kind": "Workflow", "metadata": metadata, "spec": {**spec, "arguments": arguments}}
