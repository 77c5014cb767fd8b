"""The last lines that a step of a run wrote, wherever they are: in the data root, on this machine, or in its pod while that stays."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from pathlib import Path

from builder.cluster.interface import Cluster
from builder.data.interface import Objects
from builder.errors import BuilderError
from builder.runs.history import Seen
from builder.steps.command import LAST_LINES, last_lines
from builder.steps.publish import published

_BIGGEST = 50_000_000  # bytes: an object can only be read whole
_MFLOG = re.compile(r"^\[MFLOG\|[^]]*\]")
"""What Metaflow puts before each line that a task writes (metaflow/mflog/mflog.py)."""


def tail_of(seen: Seen, step: str, objects: Objects, connect: Callable[[], Cluster]) -> tuple[str, ...]:
    """At most LAST_LINES of them, without their ends; none where nobody kept them."""
    record = seen.records.get(step, {})
    key = published(seen.run, step, "log")
    if any(found.key == key and found.size <= _BIGGEST for found in objects.list(key)):
        return _last((objects.get(key) or b"").decode("utf-8", "replace"))
    if seen.on == "argo":
        return _of_pod(connect, str(record["host"])) if record.get("host") else ()
    return tuple(last_lines(Path(record["log"]))) if record.get("log") else ()


def _last(text: str) -> tuple[str, ...]:
    return tuple(_MFLOG.sub("", line) for line in deque(text.splitlines(), LAST_LINES))


def _of_pod(connect: Callable[[], Cluster], pod: str) -> tuple[str, ...]:
    """A pod's name is the host's name to whatever runs in it."""
    try:
        return _last(b"".join(connect().log(pod, "main")).decode("utf-8", "replace"))
    except BuilderError:  # it is gone, or may not be read
        return ()
