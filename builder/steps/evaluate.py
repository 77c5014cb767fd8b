"""The step that runs the repository's own evaluation of one action type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builder.errors import LaunchError
from builder.model.run import Evaluation, Request, Training
from builder.steps import contract
from builder.steps.command import log_path, run_command
from builder.steps.config import Config, config_path
from builder.steps.record import recorded


def action_types(raw: Mapping[str, Any]) -> list[str]:
    """What the flow fans out over."""
    return sorted(Request.from_json(raw).evals)


def run(raw: Mapping[str, Any], config: Config, training: Training, action: str) -> Evaluation:
    """Raises LaunchError when the command fails or reports no score."""
    request = Request.from_json(raw)
    step = f"evaluate-{action}"
    with recorded(request, step, log_path(request, step)) as record:
        values = {"config": str(config_path(request, config)), "checkpoint": training.checkpoint, "action": action}
        ended = run_command(request, step, request.evals[action], values)
        scores = [metric.value for metric in ended.metrics if metric.name == contract.SCORE]
        if not scores:
            hint = f'append {{"step": 1, "name": "{contract.SCORE}", "value": 0.5}} to the file that ${contract.METRICS} names'
            raise LaunchError(f"{request.run}: step {step} ended well but reported no score", hint)
        record.update(score=scores[-1], seconds=round(ended.seconds, 3))
    return Evaluation(action, scores[-1], ended.seconds)
