"""A run's report as a Metaflow card."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from builder.model.run import RunResult, Training, finite
from builder.steps.markdown import render
from builder.steps.request import Task


def show(card: Any, task: Task, result: RunResult, training: Training) -> None:
    """Appends the report and the loss curve to the step's card (`current.card` of Metaflow)."""
    cards: Any = import_module("metaflow.cards")  # it has no types

    card.append(cards.Markdown(render(task.request, result)))
    if training.losses:
        card.append(cards.VegaChart(loss_chart(training)))


def loss_chart(training: Training) -> dict[str, Any]:
    """The loss over the steps, as Vega-Lite."""
    points = [{"step": metric.step, "loss": finite(metric.value)} for metric in training.losses]
    axis = {"x": {"field": "step", "type": "quantitative"}, "y": {"field": "loss", "type": "quantitative"}}
    schema = "https://vega.github.io/schema/vega-lite/v5.json"
    return {"$schema": schema, "title": "Loss", "data": {"values": points}, "mark": {"type": "line", "point": True}, "encoding": axis}
