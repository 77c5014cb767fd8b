"""How long a run is going to take, and how long it is going to wait: from past runs, and from those that go on now."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from builder.cluster.interface import Cluster
from builder.data.ledger import Ledger, seconds_of
from builder.errors import BuilderError
from builder.runs.history import usual_seconds

_GOING_ON = "workflows.argoproj.io/completed"
_LEFT = 0.1  # of the usual time: what a run that takes longer than usual is thought to need still


@dataclass(frozen=True, slots=True)
class Expected:
    """Seconds that a run usually takes, and that it waits for others first (None: nobody knows how long); how many wait before it."""

    usual: float | None = None
    queue: float | None = 0.0
    before: int = 0


def expect(ledger: Ledger, flow: str, on: str, at_once: int, connect: Callable[[], Cluster]) -> Expected:
    """Never an error: what cannot be known is not said."""
    try:
        usual = usual_seconds(ledger, flow, on)
        running, waiting = _others(connect(), flow) if on == "argo" and at_once else ((), 0)
    except BuilderError:
        return Expected()
    return Expected(usual, queue_seconds(running, waiting, at_once, usual), waiting)


def queue_seconds(running: Sequence[float], waiting: int, at_once: int, usual: float | None) -> float | None:
    """When a run that comes now begins. `running`: for how many seconds each of those that go on has done so; `waiting`: how many
    are before this one. 0 when it begins at once; None when that cannot be told, as nobody knows how long one takes.
    """
    if not at_once or len(running) + waiting < at_once:
        return 0.0
    if usual is None:
        return None
    ends = [max(usual - since, usual * _LEFT) for since in running][:at_once] + [0.0] * max(0, at_once - len(running))
    heapq.heapify(ends)
    for _ in range(waiting):  # each begins when the first place is free, and holds it
        heapq.heappush(ends, heapq.heappop(ends) + usual)
    return ends[0]


def _others(cluster: Cluster, flow: str) -> tuple[tuple[float, ...], int]:
    """For how long each run of the flow goes on, and how many wait."""
    found = list(cluster.list("workflows", {"builder/flow": flow, _GOING_ON: "false"}))
    running = [workflow for workflow in found if _phase(workflow) == "Running"]
    return tuple(_since(workflow) for workflow in running), len(found) - len(running)


def _phase(workflow: dict[str, Any]) -> str:
    return str((workflow.get("status") or {}).get("phase") or "")


def _since(workflow: dict[str, Any]) -> float:
    return max(0.0, time.time() - seconds_of(workflow["status"]["startedAt"]))


class Coming:
    """What is expected, found out in the background: it holds nobody up."""

    def __init__(self, work: Callable[[], Expected]) -> None:
        self._pool = ThreadPoolExecutor(1, "expect")
        self._future: Future[Expected] = self._pool.submit(work)
        self._pool.shutdown(wait=False)

    def get(self, patience: float = 1.0) -> Expected:
        """Nothing is expected when it takes longer than that many seconds."""
        try:
            return self._future.result(patience)
        except Exception:  # noqa: BLE001 - what is expected is never worth a run
            return Expected()
