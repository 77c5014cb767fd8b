"""What a commit's flows are in a cluster, and bringing it there.

The order is law: templates, then how many runs go on at once, then the schedules that need both. What ends in between leaves schedules
that start what they started before; deploying again does the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from builder.cluster.interface import Cluster
from builder.deploy.apply import Applied, ensure_queue, ensure_template, look_at_queue, look_at_template, queues
from builder.deploy.history import DEPLOY, Deployed, deployed, removed
from builder.deploy.schedules import KIND, ensure_schedule, look_at_schedule, touch, unknown_schedules
from builder.settings import QueueSettings

NOTICED = 2.0  # seconds in which Argo's controller hears of a new template


@dataclass(frozen=True, slots=True)
class Deployment:
    """The manifests of a commit's flows, and `at_once`: flow to how many of its runs go on at once.

    `schedules` are the names of all that the settings have, also of flows that are not deployed now; `repository` is the images'.
    """

    templates: tuple[dict[str, Any], ...]
    at_once: Mapping[str, int]
    crons: tuple[dict[str, Any], ...]
    schedules: frozenset[str]
    repository: str

    def manifests(self, namespace: str) -> list[dict[str, Any]]:
        """All of it, in the order in which it is brought to the cluster."""
        return [*self.templates, *([queues(namespace, self.at_once)] if self.at_once else []), *self.crons]


def foresee(cluster: Cluster, deployment: Deployment, *, prune: bool = False, again: bool = False) -> list[Applied]:
    """What `deploy` would do. Reads only, and raises whatever can be known to fail."""
    planned = [look_at_template(cluster, template) for template in deployment.templates]
    planned += [look_at_queue(cluster, flow, number) for flow, number in sorted(deployment.at_once.items())]
    planned += [look_at_schedule(cluster, cron, again=again) for cron in deployment.crons]
    done = "removed" if prune else "unknown"
    return planned + [Applied("schedule", name, done) for name in unknown_schedules(cluster, deployment.schedules, deployment.repository)]


def deploy(
    cluster: Cluster,
    deployment: Deployment,
    who: str,
    *,
    prune: bool = False,
    again: bool = False,
    remember: Callable[[Deployed], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Applied]:
    """Brings it to the cluster: each object as it is done. Everything is looked at before anything is changed.

    `again`: also what a schedule was rolled back from. `remember` is told of each schedule once it starts another commit. Raises
    ClusterError, AuthError, DeployError.
    """
    planned = foresee(cluster, deployment, prune=prune, again=again)
    fresh = False
    for template in deployment.templates:
        applied, new = ensure_template(cluster, template)
        fresh = fresh or new
        yield applied
    for flow, number in sorted(deployment.at_once.items()):
        yield from filter(None, [ensure_queue(cluster, flow, QueueSettings(number))])
    changed = []
    for cron in deployment.crons:
        applied, before = ensure_schedule(cluster, cron, who, again=again)
        if applied.done != "found":
            changed.append(applied.name)
            remember(deployed(cron, DEPLOY, who, cluster.namespace, before))
        yield applied
    yield from _unknown(cluster, planned, who, remember)
    if fresh and changed:
        sleep(NOTICED)
        for name in changed:
            touch(cluster, name)


def _unknown(cluster: Cluster, planned: list[Applied], who: str, remember: Callable[[Deployed], None]) -> Iterator[Applied]:
    for applied in planned:
        if applied.done == "removed":
            there = cluster.get(KIND, applied.name)
            cluster.delete(KIND, applied.name)
            if there is not None:
                remember(removed(there, who, cluster.namespace))
        if applied.done in ("removed", "unknown"):
            yield applied
