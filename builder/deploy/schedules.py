"""CronWorkflows in the cluster: made, pointed at another commit's template in place, and found where the settings no longer name them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from builder.cluster.interface import Cluster
from builder.data.ledger import now
from builder.deploy.apply import Applied
from builder.deploy.compare import differences
from builder.deploy.cron import commit_of, image_of, told
from builder.deploy.names import MANAGED
from builder.errors import DeployError

KIND = "cronworkflows"
DEPLOYED, DEPLOYER = "builder/deployed", "builder/deployed-by"
ROLLED_BACK = "builder/rolled-back"
"""The commit that a schedule was rolled back from; gone when another one is deployed."""
ROLLED_BACK_FIELD = f"metadata.annotations.{ROLLED_BACK}"


def look_at_schedule(cluster: Cluster, cron: Mapping[str, Any], *, again: bool = False) -> Applied:
    """What `ensure_schedule` would do. Raises DeployError when something that this tool did not make has its name, and unless `again` when
    it was rolled back from the very commit that it is to start.
    """
    return _look(cron, cluster.get(KIND, cron["metadata"]["name"]), again=again)


def _look(cron: Mapping[str, Any], there: Mapping[str, Any] | None, *, again: bool) -> Applied:
    name = cron["metadata"]["name"]
    if there is None:
        return Applied("schedule", name, "created")
    if not MANAGED.items() <= (there["metadata"].get("labels") or {}).items():
        raise DeployError(f"cronworkflow {name} is there, and builder did not make it", f"call [schedule.{name}] otherwise")
    changed = differences(without_suspend(cron), there)
    if not changed:
        return Applied("schedule", name, "found", before=told(there))
    left = (there["metadata"].get("annotations") or {}).get(ROLLED_BACK)
    if left and left == commit_of(cron) and not again:
        who = there["metadata"]["annotations"].get(DEPLOYER, "somebody")
        text = f"schedule {name} was rolled back from {left[:12]} by {who}, and would start it again"
        raise DeployError(text, "deploy a commit that mends it, or this one all the same: --again")
    return Applied("schedule", name, "changed", (*changed, *([f'{ROLLED_BACK_FIELD}: "{left}" -> nothing'] if left else [])), told(there))


def ensure_schedule(cluster: Cluster, cron: Mapping[str, Any], who: str, *, again: bool = False) -> tuple[Applied, str]:
    """Makes the CronWorkflow, or changes the one that is there, except for whether it is paused: that is up to who paused it.

    What was done, and the commit that it started before; empty when there was none.
    """
    there = cluster.get(KIND, cron["metadata"]["name"])
    planned, marks = _look(cron, there, again=again), {DEPLOYED: now(), DEPLOYER: who}
    before = commit_of(there) if there else ""
    if planned.done == "created" and cluster.create(marked(cron, marks)):
        return planned, before
    if planned.done != "found":
        cluster.patch(KIND, planned.name, without_suspend(marked(cron, {**marks, ROLLED_BACK: None})))
    return planned, before


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


def marked(cron: Mapping[str, Any], annotations: Mapping[str, str | None]) -> dict[str, Any]:
    metadata = cron["metadata"]
    return {**cron, "metadata": {**metadata, "annotations": {**metadata["annotations"], **annotations}}}
