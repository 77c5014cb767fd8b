"""Loss curves: of a run that trained they are in its record; of one that failed there, or is there now, in the metrics of the step."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from builder.data.interface import Objects
from builder.data.threads import in_threads
from builder.errors import BuilderError
from builder.model.run import TRAINING
from builder.runs.history import Seen
from builder.steps.contract import LOSS
from builder.steps.outcome import training_of
from builder.steps.publish import published

Point = tuple[float, float]
"""Step and loss."""

_MOST = 160
"""Points of a curve: more are not seen on a screen."""
_READ = 100
"""So many runs without a loss in their record, the newest, have their metrics read."""
_BIGGEST = 4_000_000  # bytes of metrics
_METRICS = "metrics.jsonl"


def curves_of(runs: Sequence[Seen], objects: Objects) -> dict[str, tuple[Point, ...]]:
    """By run, thinned out; no entry where there is no loss."""
    found = {seen.run: _recorded(seen) for seen in runs}
    others = [seen for seen in runs if not found[seen.run] and _trains(seen)][:_READ]
    found |= dict(zip([seen.run for seen in others], in_threads(lambda seen: _measured(seen, objects), others), strict=True))
    return {run: thinned(points) for run, points in found.items() if points}


def thinned(points: Sequence[Point]) -> tuple[Point, ...]:
    """At most `_MOST`: of each stretch its least and its greatest loss, so that no peak is lost; the first and the last."""
    if len(points) <= _MOST:
        return tuple(points)
    inner, kept, stretches = points[1:-1], [points[0]], (_MOST - 2) // 2
    for number in range(stretches):
        part = inner[len(inner) * number // stretches : len(inner) * (number + 1) // stretches]
        ends = {part.index(min(part, key=lambda point: point[1])), part.index(max(part, key=lambda point: point[1]))}
        kept += [part[index] for index in sorted(ends)]
    return (*kept, points[-1])


def _recorded(seen: Seen) -> list[Point]:
    losses = (training_of(seen.records).get("result") or {}).get("losses") or ()
    return list(_finite((loss.get("step"), loss.get("value")) for loss in losses))


def _trains(seen: Seen) -> bool:
    return any(seen.records.get(step, {}).get("state") in ("failed", "stopped", "running", "waiting") for step in TRAINING)


def _measured(seen: Seen, objects: Objects) -> list[Point]:
    step = next(step for step in TRAINING if step in seen.records)
    record = seen.records[step]
    if record.get("state") == "running" and record.get("log"):
        return _points(_here(Path(str(record["log"])).with_name(_METRICS)))
    key = published(seen.run, step, _METRICS)
    try:
        there = objects.find(key)
        return _points(objects.get(key) or b"") if there and there.size <= _BIGGEST else []
    except BuilderError:
        return []


def _here(path: Path) -> bytes:
    """What a command on this machine has written by now."""
    try:
        return path.read_bytes() if path.stat().st_size <= _BIGGEST else b""
    except OSError:
        return b""


def _points(data: bytes) -> list[Point]:
    """The last line may be half written, and a team's command may write what it likes."""
    return list(_finite(_pairs(data)))


def _pairs(data: bytes) -> Iterator[tuple[Any, Any]]:
    for line in data.splitlines():
        with suppress(ValueError, TypeError, LookupError, RecursionError):
            metric = json.loads(line)
            if metric["name"] == LOSS:
                yield metric["step"], metric["value"]


def _finite(pairs: Iterator[tuple[Any, Any]]) -> Iterator[Point]:
    for step, value in pairs:
        if isinstance(step, (int, float)) and isinstance(value, (int, float)) and math.isfinite(step) and math.isfinite(value):
            yield float(step), float(value)
