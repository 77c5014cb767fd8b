"""A run's report as a Metaflow card."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from builder.model.run import Metric, RunResult, Training, finite
from builder.steps.markdown import details, summary
from builder.steps.request import Task
from builder.steps.root import ledger_of

_MOST, _MARKED = 1000, 50
"""Points of a curve: more are thinned out, so many have a mark each."""


def show(card: Any, task: Task, result: RunResult, training: Training) -> None:
    """Appends the report and the loss curve to the step's card (`current.card` of Metaflow)."""
    cards: Any = import_module("metaflow.cards")  # it has no types

    card.append(cards.Markdown(summary(task.request, result)))
    if training.losses:
        card.append(cards.VegaChart(loss_chart(training)))
    card.append(cards.Markdown(details(result, ledger_of(task.request).read(result.run))))


def loss_chart(training: Training) -> dict[str, Any]:
    """The loss over the steps, as Vega-Lite."""
    shown = thinned(training.losses)
    points = [{"step": metric.step, "loss": finite(metric.value)} for metric in shown]
    whole = all(float(metric.step).is_integer() for metric in shown)
    ticks = {"grid": False, "labelOverlap": True, "tickCount": 10, **({"tickMinStep": 1} if whole else {})}
    step = {"field": "step", "type": "quantitative", "axis": ticks, "scale": {"zero": False, "nice": False}}
    loss = {"field": "loss", "type": "quantitative", "scale": {"zero": False}}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": "Loss",
        "data": {"values": points},
        "mark": {"type": "line", "point": len(points) <= _MARKED},
        "encoding": {"x": step, "y": loss},
    }


def thinned(losses: Sequence[Metric]) -> list[Metric]:
    """At most so many, evenly, the last one among them."""
    every = -(-len(losses) // _MOST)
    return list(losses[::-1][::every])[::-1]
