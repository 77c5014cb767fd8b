"""Creates in the cluster what a release needs, unless it is there: the template, and how many runs go on at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from builder.cluster.interface import Cluster
from builder.deploy.compare import differences
from builder.deploy.names import MANAGED
from builder.deploy.render import API, QUEUES
from builder.errors import DeployError
from builder.settings import QueueSettings

TEMPLATE_LABEL = "workflows.argoproj.io/workflow-template"
"""By which Argo, too, finds the runs of a template."""

_TEMPLATES = "workflowtemplates"
_NOTICED = 30.0  # seconds after which Argo's controller knows a template


@dataclass(frozen=True, slots=True)
class Applied:
    """An object of the cluster, and what was done: `created`, `found`, `changed`, `removed`, or `unknown` to the settings.

    `differences` says what was changed, a line for each field; `before` what a schedule starts until then, as `cron.told` has it.
    """

    kind: str
    name: str
    done: str
    differences: tuple[str, ...] = ()
    before: str = ""


def ensure_template(cluster: Cluster, template: Mapping[str, Any]) -> tuple[Applied, bool]:
    """A template is created or found, never updated: its name says what it holds. Whether it is so new that Argo may not know it yet.

    Raises DeployError when something else has its name.
    """
    name = template["metadata"]["name"]
    if cluster.create(template):
        return Applied("template", name, "created"), True
    there = cluster.get(_TEMPLATES, name)
    if there is not None:
        _check_template(template, there)
    return Applied("template", name, "found"), there is None or is_fresh(there)


def look_at_template(cluster: Cluster, template: Mapping[str, Any]) -> Applied:
    """What `ensure_template` would do; where somebody changed the template, its differences are told, but nothing is done about them."""
    name = template["metadata"]["name"]
    there = cluster.get(_TEMPLATES, name)
    if there is None:
        return Applied("template", name, "created")
    _check_template(template, there)
    return Applied("template", name, "found", differences(template, there))


def _check_template(template: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    name = template["metadata"]["name"]
    if digest_of(there) != digest_of(template):
        raise DeployError(
            f"workflowtemplate {name} is there, and runs another image", f"somebody changed it: kubectl delete workflowtemplate {name}"
        )


def is_fresh(template: Mapping[str, Any]) -> bool:
    """Whether a template of the cluster is so new that Argo may not know it yet."""
    return _age(template) < _NOTICED


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
    planned = look_at_queue(cluster, flow, queue.at_once)
    if planned.done == "created" and cluster.create(queues(cluster.namespace, {flow: queue.at_once})):
        return planned
    if planned.done != "found":
        cluster.patch("configmaps", QUEUES, queues(cluster.namespace, {flow: queue.at_once}))
    return planned


def look_at_queue(cluster: Cluster, flow: str, at_once: int) -> Applied:
    """What `ensure_queue` would do."""
    there = cluster.get("configmaps", QUEUES)
    before = ((there or {}).get("data") or {}).get(flow)
    if before == str(at_once):
        return Applied("queue", flow, "found")
    done = "created" if there is None else "changed"
    return Applied("queue", flow, done, (f"at once: {before or 'any number'} -> {at_once}",))


def queues(namespace: str, at_once: Mapping[str, int]) -> dict[str, Any]:
    """The config map that says for every flow how many of its runs go on at once."""
    metadata = {"name": QUEUES, "namespace": namespace, "labels": MANAGED}
    data = {flow: str(number) for flow, number in at_once.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def workflow(
    template: Mapping[str, Any], run: str, arguments: Mapping[str, Any], annotations: Mapping[str, str], *, fresh: bool
) -> dict[str, Any]:
    """A run of the template, as an object to create.

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
    return {"apiVersion": API, "kind": "Workflow", "metadata": metadata, "spec": {**spec, "arguments": dict(arguments)}}
