"""What the pods of a gang write, as one log: by time, each line with its rank where there are several."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from builder.cluster.interface import Cluster
from builder.errors import ClusterError
from builder.launch.jobset.manifest import CONTAINER
from builder.launch.jobset.states import Object, has_begun, index_of

_LINE = re.compile(rb"(\S+?)(?:\.(\d+))?Z (.*)", re.DOTALL)
_BEGINNING = "1970-01-01T00:00:00Z"

Moment = tuple[str, str]
"""Seconds and their fraction, as texts that sort as times do."""


@dataclass
class Logs:
    """Nothing is told twice, however often one asks: a pod's log is read again from the second of its last line on."""

    cluster: Cluster
    labelled: bool
    _last: dict[str, Moment] = field(default_factory=dict)
    _of_last: dict[str, int] = field(default_factory=dict)

    def new(self, pods: Iterable[Object]) -> bytes:
        """What was written since this was asked before. Raises ClusterError, AuthError."""
        lines = [line for pod in pods if has_begun(pod) for line in self._of(pod)]
        return b"".join(text for _, text in sorted(lines, key=lambda line: line[0]))

    def _of(self, pod: Object) -> list[tuple[Moment, bytes]]:
        name, rank = pod["metadata"]["name"], index_of(pod)
        last = self._last.get(name, ("", ""))
        try:
            text = b"".join(self.cluster.log(name, CONTAINER, since=f"{last[0]}Z" if last[0] else _BEGINNING))
        except ClusterError:  # the pod is gone, or its node does not answer
            return []
        read = [self._parsed(line, rank) for line in text.splitlines(keepends=True)]
        known = self._of_last.get(name, 0)
        again = sum(1 for moment, _ in read if moment == last)
        fresh = [line for line in read if line[0] > last] if last[0] else read
        late = [line for line in read if line[0] == last][known:] if last[0] and again > known else []
        found = [*late, *fresh]
        if found:
            newest = max(moment for moment, _ in found)
            self._of_last[name] = sum(1 for moment, _ in read if moment == newest)
            self._last[name] = newest
        return found

    def _parsed(self, line: bytes, rank: int) -> tuple[Moment, bytes]:
        match = _LINE.fullmatch(line)
        assert match, line  # the API server puts the time there
        whole = match[3] if match[3].endswith(b"\n") else match[3] + b"\n"
        label = f"{rank}: ".encode() if self.labelled else b""
        return (match[1].decode(), (match[2] or b"").decode().ljust(9, "0")), label + whole
