"""What Argo starts at the end of a workflow: `python -m builder.deploy.ended`. It asks the cluster what Argo does not tell: whether
somebody stopped the run, and why a pod never began. The rest is builder/steps/exit.py's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from builder.cluster.interface import Cluster
from builder.cluster.kubernetes import connect
from builder.errors import BuilderError
from builder.steps import exit as ending
from builder.steps.failures import STOPPED

_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def main(environ: Mapping[str, str], cluster: Cluster) -> None:
    status = STOPPED if was_stopped(cluster, environ["BUILDER_RUN"]) else environ["BUILDER_STATUS"]
    ending.main({**environ, "BUILDER_STATUS": status}, partial(reason, cluster))


def was_stopped(cluster: Cluster, run: str) -> bool:
    """Whether somebody asked for the end of the workflow; False as well where it may not be read."""
    try:
        found = cluster.get("workflows", run) or {}
    except BuilderError:
        return False
    return bool(found.get("spec", {}).get("shutdown"))


def reason(cluster: Cluster, pod: str) -> str:
    """What kept a pod from starting, as the cluster's events have it; empty where none says so, or they may not be read."""
    try:
        return said_by([event for event in cluster.list("events") if event.get("involvedObject", {}).get("name") == pod])
    except BuilderError:
        return ""


def said_by(events: Iterable[Mapping[str, Any]]) -> str:
    """The warning that says most: an image that cannot be pulled comes with its reason first, then only with `ImagePullBackOff`."""
    said = [str(event.get("message", "")) for event in events if event.get("type") == "Warning" and event.get("reason") in _TELLING]
    return max(said, key=len, default="")


_TELLING = ("Failed", "FailedMount", "FailedCreatePodSandBox", "InspectFailed")

if __name__ == "__main__":
    main(os.environ, connect(_NAMESPACE.read_text().strip()))
