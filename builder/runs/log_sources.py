"""Where what a step wrote can be read: in the data root once it has ended, else in a file of this machine, or in its pod."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.cluster.interface import Cluster
from builder.data.interface import Objects
from builder.runs.history import Seen
from builder.runs.local import FLOW_LOG
from builder.runs.log_filter import BetweenMarkers, Keep, OfStep, filtered, without_chatter
from builder.steps.outcome import facts_of
from builder.steps.publish import published

_WORKFLOW, _STEP, _MAIN = "workflows.argoproj.io/workflow", "metaflow/step_name", "main"
_CHUNK = 1 << 16
_GOING = ("running", "waiting")


@dataclass(frozen=True, slots=True)
class Source:
    """`read(offset)` gives the bytes from there on: as they come, where a pod is followed. Sources of one `key` hold the same, so what
    was read of one counts for the others.
    """

    key: str
    read: Callable[[int], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Where:
    """Where is looked, and for what. `output` is the run's directory on this machine, `own` says that the flow is a team's own;
    `whole`: Metaflow's and Argo's own words, too; `follow`: to the end of each pod.
    """

    objects: Objects
    connect: Callable[[], Cluster]
    output: Path
    own: bool = False
    whole: bool = False
    follow: bool = False


def has_log(record: Mapping[str, Any], where: Where) -> bool:
    """Whether the step writes what somebody may want to read: steps that run no command of the team's say nothing."""
    return where.whole or where.own or "log" in record or "kept" in record


def is_going(seen: Seen, step: str) -> bool:
    return seen.is_open and seen.records.get(step, {}).get("state") in _GOING


def sources_of(seen: Seen, step: str, where: Where) -> list[Source]:
    """One after the other they are the step's log; none where it has not begun, or nobody kept it. Raises ClusterError."""
    record = seen.records.get(step)
    if record is None or not has_log(record, where):
        return []
    if record.get("kept"):
        return _published(str(record["kept"]), step, where, "kept")
    if seen.on == "argo" and (where.whole or where.own):
        return list(_pods(seen.run, step, record, where)) or _published(seen.run, step, where, "published")
    flow = _flow_log(seen, step, where) if where.whole or where.own else []
    return flow if flow and where.own else [*flow, *_of_command(seen, step, record, where)]


def _of_command(seen: Seen, step: str, record: Mapping[str, Any], where: Where) -> list[Source]:
    """A new pod begins a new log, and writes a new record."""
    key = f"{record.get('attempt', 0)} {record.get('started', '')}"
    kept = [] if is_going(seen, step) else _published(seen.run, step, where, key)
    if kept or "log" not in record:
        return kept
    if seen.on == "argo":
        return [_pod(str(record["host"]), BetweenMarkers(), where, key)]
    return [_file(Path(record["log"]), key)] if _is_here(seen) else []


def _published(run: str, step: str, where: Where, key: str) -> list[Source]:
    name = published(run, step, "log")

    def read(offset: int) -> Iterator[bytes]:
        yield (where.objects.get(name) or b"")[offset:]

    return [Source(key, read)] if any(found.key == name for found in where.objects.list(name)) else []


def _pods(run: str, step: str, record: Mapping[str, Any], where: Where) -> Iterator[Source]:
    """A step of a team's own may have many; of a built-in flow's step the record knows which."""
    keep = None if where.whole else without_chatter
    if not where.own:
        yield _pod(str(record["host"]), keep, where, str(record["host"]))
        return
    pods = [pod["metadata"] for pod in where.connect().list("pods", {_WORKFLOW: run})]
    for pod in sorted(pods, key=lambda pod: (str(pod.get("creationTimestamp")), str(pod["name"]))):
        if (pod.get("annotations") or {}).get(_STEP) == step:
            yield _pod(pod["name"], keep, where, pod["name"])


def _pod(name: str, keep: Keep | None, where: Where, key: str) -> Source:
    """A pod's name is the host's name to whatever runs in it. What was read before is read again, and left out."""

    def read(offset: int) -> Iterator[bytes]:
        pieces = where.connect().log(name, _MAIN, follow=where.follow)
        for piece in filtered(pieces, keep) if keep else pieces:
            yield piece[offset:]
            offset = max(0, offset - len(piece))

    return Source(key, read)


def _flow_log(seen: Seen, step: str, where: Where) -> list[Source]:
    """What Metaflow's local runner wrote of the step. The action types' evaluations are one step to it."""
    log = where.output / FLOW_LOG
    keep = OfStep(step if where.own else step.partition("-")[0], chatter=where.whole)
    return [_file(log, "flow", keep)] if _is_here(seen) and log.exists() else []


def _file(path: Path, key: str, keep: Keep | None = None) -> Source:
    def read(offset: int) -> Iterator[bytes]:
        for piece in filtered(_pieces(path), keep) if keep else _pieces(path, offset):
            yield piece[offset:] if keep else piece
            offset = max(0, offset - len(piece))

    return Source(key, read)


def _pieces(path: Path, offset: int = 0) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while piece := file.read(_CHUNK):
                yield piece
    except FileNotFoundError:
        return


def _is_here(seen: Seen) -> bool:
    return facts_of(seen.records).get("host") == socket.gethostname()
