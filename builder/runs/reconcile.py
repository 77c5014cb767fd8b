"""What the ledger cannot know of runs that go on: whether what executes them is still there, and what they wait for.

Nothing is written. A run whose end nobody wrote, and that is gone, is `lost`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from builder.cluster.interface import Cluster
from builder.data.ledger import RUN, Warn, seconds_of
from builder.data.threads import in_threads
from builder.errors import AuthError, ClusterError
from builder.runs.alive import is_alive
from builder.runs.history import Seen

Connect = Callable[[], Cluster]
"""Gives the cluster of the settings in force. Raises ClusterError when there is none."""

_COMING = 120.0  # seconds in which a run that was announced appears in the cluster
_GOING_ON = {"workflows.argoproj.io/completed": "false"}
"""Argo's own label, from when its controller first looks at a workflow: those that ended may be many, and are big."""

_LOCK = re.compile(r"Waiting for (\S+) lock\. Lock status: (\d+)/(\d+)")
"""Of Argo 3.6 and 3.7, workflow/sync/semaphore.go: how many are free, and how many there are."""

_STUCK = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "Unschedulable")
_ALONE = "in a container that nobody looks after any more: `builder stop` ends it"
_PHASES = {"Succeeded": "succeeded", "Failed": "failed", "Error": "failed"}


def reconcile(runs: Sequence[Seen], connect: Connect, warn: Warn) -> list[Seen]:
    """The same runs as they stand now. A cluster that cannot be reached is a warning: its runs stay as the ledger has them."""
    on_argo = [seen for seen in runs if seen.is_open and seen.on == "argo"]
    known = _ask(on_argo, connect, warn) if on_argo else {}
    known |= {seen.run: _here(seen) for seen in runs if seen.is_open and seen.on != "argo"}
    return [known.get(seen.run, seen) for seen in runs]


def _here(seen: Seen) -> Seen:
    """Of this machine, or of another one, which alone can tell."""
    record = seen.records.get(RUN, {})
    if "supervisor" not in record:  # announced by the run that starts it
        return replace(seen, state="lost", detail="") if seen.started and time.time() - seconds_of(seen.started) > 30 * _COMING else seen
    if is_alive(record) is not False:
        return seen
    if record.get("container"):
        from builder.runs.docker import container_runs

        if container_runs(str(record["container"])):
            return replace(seen, detail=_ALONE)
    return replace(seen, state="lost", detail="")


def _ask(runs: Sequence[Seen], connect: Connect, warn: Warn) -> dict[str, Seen]:
    try:
        cluster = connect()
        ours = [seen for seen in runs if _namespace(seen) in ("", cluster.namespace)]
        return {seen.run: on_argo(seen, workflow) for seen, workflow in zip(ours, _workflows(cluster, ours), strict=True)}
    except (ClusterError, AuthError) as error:
        warn(f"runs on Argo are shown as the ledger has them: {error.message}")
        return {}


def _workflows(cluster: Cluster, runs: Sequence[Seen]) -> Sequence[dict[str, Any] | None]:
    """One list has those that go on; what is not in it is new, has just ended, or is gone."""
    listed = {found["metadata"]["name"]: found for found in cluster.list("workflows", _GOING_ON)}
    others = [seen.run for seen in runs if seen.run not in listed]
    listed |= {
        name: found for name, found in zip(others, in_threads(lambda name: cluster.get("workflows", name), others), strict=True) if found
    }
    return [listed.get(seen.run) for seen in runs]


def _namespace(seen: Seen) -> str:
    return str(seen.records.get(RUN, seen.records.get("start", {})).get("namespace") or "")


def on_argo(seen: Seen, workflow: Mapping[str, Any] | None) -> Seen:
    """The run as its workflow has it; None: the cluster has none of that name."""
    if workflow is None:
        coming = seen.state in ("starting", "submitting") and time.time() - seconds_of(seen.started) < _COMING
        return seen if coming else replace(seen, state="lost", detail="")
    status = workflow.get("status") or {}
    phase, message = str(status.get("phase") or ""), str(status.get("message") or "")
    if phase in _PHASES:
        stopped = "shutdown" in message.lower() or "stopped with strategy" in message.lower()
        return replace(seen, state="stopped" if stopped else _PHASES[phase], detail=message)
    if lock := _LOCK.search(message):
        return replace(seen, state="waiting", detail=waiting_words(lock[1], int(lock[2]), int(lock[3])))
    if workflow.get("spec", {}).get("suspend"):
        return replace(seen, state="waiting", detail="suspended")
    stuck = next(filter(None, (_stuck(node) for node in (status.get("nodes") or {}).values())), "")
    return replace(seen, state="running" if phase == "Running" or seen.state == "running" else "submitted", detail=stuck or seen.detail)


def waiting_words(lock: str, free: int, most: int) -> str:
    """`waiting for the queue of finetune (2 of 2 running)`."""
    return f"for the queue of {lock.rpartition('/')[2]} ({most - free} of {most} running)"


def _stuck(node: Mapping[str, Any]) -> str:
    """Why a pod does not begin, if it is one of the reasons that do not pass by themselves."""
    message = str(node.get("message") or "")
    if node.get("type") != "Pod" or node.get("phase") != "Pending" or not message.startswith(_STUCK):
        return ""
    return f"{node.get('displayName', 'a pod')}: {message.splitlines()[0][:200]}"
