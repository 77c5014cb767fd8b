"""CronWorkflows in the cluster: made, pointed at another commit's template in place, and found where the settings no longer name them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from builder.cluster.interface import Cluster
from builder.data.ledger import now
from builder.deploy.apply import Applied
from builder.deploy.compare import differences
from builder.deploy.cron import image_of
from builder.deploy.names import MANAGED
from builder.errors import DeployError

KIND = "cronworkflows"
DEPLOYED, DEPLOYER = "builder/deployed", "builder/deployed-by"


def look_at_schedule(cluster: Cluster, cron: Mapping[str, Any]) -> Applied:
    """What `ensure_schedule` would do. Raises DeployError when something that this tool did not make has its name."""
    name = cron["metadata"]["name"]
    there = cluster.get(KIND, name)
    if there is None:
        return Applied("schedule", name, "created")
    if not MANAGED.items() <= (there["metadata"].get("labels") or {}).items():
        raise DeployError(f"cronworkflow {name} is there, and builder did not make it", f"call [schedule.{name}] otherwise")
    changed = differences(without_suspend(cron), there)
    return Applied("schedule", name, "changed" if changed else "found", changed)


def ensure_schedule(cluster: Cluster, cron: Mapping[str, Any], who: str) -> Applied:
    """Makes the CronWorkflow, or changes the one that is there, except for whether it is paused: that is up to who paused it."""
    planned, marked = look_at_schedule(cluster, cron), _marked(cron, {DEPLOYED: now(), DEPLOYER: who})
    if planned.done == "created" and cluster.create(marked):
        return planned
    if planned.done != "found":
        cluster.patch(KIND, planned.name, without_suspend(marked))
    return planned


def touch(cluster: Cluster, name: str) -> None:
    """Has Argo's controller look at the CronWorkflow again.

    It looks when one changes, and at most 20 minutes later; one whose template it does not know by then goes on as it was before
    (workflow/cron/controller.go).
    """
    cluster.patch(KIND, name, {"metadata": {"annotations": {DEPLOYED: f"{now()}, seen"}}})


def unknown_schedules(cluster: Cluster, known: Collection[str], repository: str) -> Iterator[str]:
    """The names of CronWorkflows that this tool made, for images of this repository, and that the settings do not name."""
    for there in cluster.list(KIND, MANAGED):
        if image_of(there) == repository and there["metadata"]["name"] not in known:
            yield str(there["metadata"]["name"])


def without_suspend(cron: Mapping[str, Any]) -> dict[str, Any]:
    return {**cron, "spec": {key: value for key, value in cron["spec"].items() if key != "suspend"}}


def _marked(cron: Mapping[str, Any], annotations: Mapping[str, str]) -> dict[str, Any]:
    metadata = cron["metadata"]
    return {**cron, "metadata": {**metadata, "annotations": {**metadata["annotations"], **annotations}}}
