"""Scores of commits and runs side by side, with how far they scatter, and what their images share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from builder.model.oci import Manifest
from builder.model.run import finite
from builder.runs.history import Seen, newest_first

LOSS = "loss"


@dataclass(frozen=True, slots=True)
class Side:
    """What is compared: a commit with its runs that did the same, or one run. `left_out` counts the commit's other runs that succeeded,
    with another configuration, image or choice of action types.
    """

    label: str
    commit: str
    runs: tuple[Seen, ...] = ()
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """Of the values of one metric over a side's runs."""

    count: int
    mean: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        return self.high - self.low


@dataclass(frozen=True, slots=True)
class Change:
    """From the first side's mean. `within`: not more than the values of one side or the other scatter by themselves."""

    amount: float
    within: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One metric: a summary for each side, and its change from the first; None where there is no value."""

    metric: str
    sides: tuple[Summary | None, ...]
    changes: tuple[Change | None, ...]


@dataclass(frozen=True, slots=True)
class Layers:
    """Of an image; `new` and `new_size` (bytes as stored) are of the layers that the first side's image does not have."""

    count: int
    size: int
    new: int
    new_size: int


def of_commit(label: str, commit: str, runs: Sequence[Seen]) -> Side:
    """Of the commit's runs that succeeded those that did the same: as the settings have it if any did, else what ran last."""
    ended = newest_first(seen for seen in runs if seen.state == "succeeded")
    plain = [seen for seen in ended if not seen.overrides]
    chosen = next(iter([*(seen for seen in plain if _is_whole(seen, plain)), *plain, *ended]), None)
    same = tuple(seen for seen in ended if chosen and _identity(seen) == _identity(chosen))
    return Side(label, commit, same, len(ended) - len(same))


def _is_whole(seen: Seen, others: Sequence[Seen]) -> bool:
    """Whether no other run evaluated more action types."""
    return len(seen.result.scores) == max(len(other.result.scores) for other in others)


def _identity(seen: Seen) -> str:
    """What did the same has the same; a team's own flow may have none."""
    found = seen.result.identity
    return found or json.dumps([seen.reference, seen.result.config, sorted(seen.overrides)])


def compare_scores(sides: Sequence[Side]) -> tuple[Row, ...]:
    """The loss first, if any side has one, then the action types in the order of their names."""
    found = [metrics_of(side.runs) for side in sides]
    names = sorted({name for metrics in found for name in metrics}, key=lambda name: (name != LOSS, name))
    return tuple(_row(name, [summary_of(metrics.get(name, ())) for metrics in found]) for name in names)


def metrics_of(runs: Iterable[Seen]) -> dict[str, list[float]]:
    """Metric to its values; holes, and what is no number, are left out."""
    values: dict[str, list[float]] = {}
    for seen in runs:
        result = seen.result
        for name, value in {LOSS: result.loss, **result.scores}.items():
            known = finite(value)
            if known is not None:
                values.setdefault(name, []).append(known)
    return values


def summary_of(values: Sequence[float]) -> Summary | None:
    return Summary(len(values), sum(values) / len(values), min(values), max(values)) if values else None


def _row(metric: str, summaries: Sequence[Summary | None]) -> Row:
    first = summaries[0]
    return Row(metric, tuple(summaries), tuple(change_between(first, other) for other in summaries))


def change_between(before: Summary | None, after: Summary | None) -> Change | None:
    """One run alone does not tell how far its values scatter; then only the other side's do."""
    if before is None or after is None:
        return None
    amount, spread = after.mean - before.mean, max(before.spread, after.spread)
    return Change(amount, 0 < abs(amount) <= spread)


def compare_layers(manifests: Sequence[Manifest | None]) -> tuple[Layers | None, ...]:
    """Against the first image that is known."""
    first = next((manifest for manifest in manifests if manifest), None)
    held = {layer.digest for layer in first.layers} if first else set()
    return tuple(_layers(manifest, held) if manifest else None for manifest in manifests)


def _layers(manifest: Manifest, held: set[str]) -> Layers:
    sizes = {layer.digest: layer.size for layer in manifest.layers}
    new = {digest: size for digest, size in sizes.items() if digest not in held}
    return Layers(len(manifest.layers), sum(sizes.values()), len(new), sum(new.values()))


def configuration_of(side: Side) -> Mapping[str, Any] | None:
    """That of the side's runs, which did the same; None when there is none."""
    return side.runs[0].records.get("start", {}).get("values") if side.runs else None
