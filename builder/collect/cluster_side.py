"""What a cluster needs: whatever names an image by digest there, in any object of these kinds, running, waiting or paused.

A digest counts wherever it stands: in a container, an annotation, an argument, or in the request that an argument carries packed. So does
the tag of a commit's image, which nobody but people should name.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from builder.cluster.interface import Cluster, WideCluster
from builder.collect.needs import CLUSTER, SCHEDULES, Needs, Reason
from builder.deploy.cron import template_of
from builder.errors import AuthError, ClusterError

_NAMING = {"workflowtemplates": "template", "cronworkflows": "schedule", "workflows": "workflow", "jobsets": "JobSet"}
_HOLDING = {"pods": "pod", "statefulsets": "stateful set", "deployments": "deployment", "daemonsets": "daemon set", "jobs": "job"}
_KINDS = {**_NAMING, **_HOLDING, "cronjobs": "cron job"}
"""Dev boxes are among them, whatever they are made of: those that are switched off have no pod."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r":([0-9a-f]{40})(?=[-\"])")
_REQUEST = re.compile(r"request-(eyJ[A-Za-z0-9_=-]+)")
"""A packed request: JSON in base64 begins so."""


def cluster_needs(cluster: WideCluster, namespaces: Collection[str], other: Callable[[str], Cluster]) -> Needs:
    """Of all namespaces where the account may look at all of them, else of the cluster's own and of `namespaces`; `other(namespace)` is the
    same cluster's. Raises ClusterError, AuthError when something that may need images cannot be read.
    """
    needs, counts = Needs(), dict.fromkeys(_KINDS, 0)
    for kind in _KINDS:
        if not cluster.knows(kind):
            continue
        for found in _listed(cluster, kind, namespaces, other):
            counts[kind] += 1
            _note(needs, kind, found, cluster.server)
    told = ", ".join(f"{count} {_KINDS[kind]}{'s' if count != 1 else ''}" for kind, count in counts.items() if count)
    needs.said.append(f"cluster {cluster.server}: {told or 'nothing there'}")
    return needs


def _listed(cluster: WideCluster, kind: str, namespaces: Collection[str], other: Callable[[str], Cluster]) -> Iterator[dict[str, Any]]:
    try:
        yield from cluster.list_everywhere(kind)
    except AuthError:  # it is refused at the first page, or it is not
        yield from cluster.list(kind)
        for namespace in namespaces:
            if namespace != cluster.namespace:
                yield from other(namespace).list(kind)


def _note(needs: Needs, kind: str, found: Mapping[str, Any], cluster: str) -> None:
    metadata = found["metadata"]
    labels = metadata.get("labels") or {}
    name = f"{_KINDS[kind]} {metadata['name']}"
    group, why = (SCHEDULES, f"{name} starts it") if kind in ("workflowtemplates", "cronworkflows") else (CLUSTER, f"{name} names it")
    for digest in digests_in(found, name):
        needs.digest(digest, group, why)
    for sha in set(_TAG.findall(json.dumps(found))):
        needs.commit(sha, group, why)
    if digest := str(labels.get("builder/digest", "")):
        needs.digest(f"sha256:{digest}", group, why)
    for marks in (labels, metadata.get("annotations") or {}):
        needs.commit(str(marks.get("builder/commit", "")), group, why)
    if "workflows.argoproj.io/workflow-archiving-status" in labels:
        needs.archived.add(cluster)
    if kind == "cronworkflows":
        _template(needs, template_of(found), f"{name} starts it")


def _template(needs: Needs, template: str, why: str) -> None:
    if template:
        needs.templates.setdefault(template, Reason(SCHEDULES, why))


def digests_in(found: Mapping[str, Any], name: str) -> set[str]:
    """Every digest in an object. Raises ClusterError when it carries a request that cannot be unpacked: nobody knows what it needs."""
    text = json.dumps(found)
    digests = set(_DIGEST.findall(text))
    try:
        unpacked = [base64.urlsafe_b64decode(packed).decode() for packed in set(_REQUEST.findall(text))]
    except ValueError as error:
        raise ClusterError(f"{name} carries a request that cannot be read: {error}", "delete it, if nothing needs it") from error
    return digests.union(*map(_DIGEST.findall, unpacked))
