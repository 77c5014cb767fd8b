"""The step that runs the repository's own training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder.errors import LaunchError
from builder.model.run import Request, Training
from builder.steps import contract
from builder.steps.command import log_path, run_command
from builder.steps.config import Config, config_path
from builder.steps.record import recorded

STEP = "finetune"


def run(raw: Mapping[str, Any], config: Config) -> Training:
    """Raises LaunchError when the command fails or leaves no checkpoint."""
    request = Request.from_json(raw)
    with recorded(request, STEP, log_path(request, STEP)) as record:
        checkpoint = Path(request.place.output) / "checkpoint"
        checkpoint.mkdir(parents=True, exist_ok=True)
        values = {"config": str(config_path(request, config)), "checkpoint": str(checkpoint)}
        ended = run_command(request, STEP, request.command, values)
        if not any(checkpoint.iterdir()):
            hint = f"write it into the directory that ${contract.CHECKPOINT} names ({{checkpoint}} in the command)"
            raise LaunchError(f"{request.run}: step {STEP} ended well but left no checkpoint", hint)
        losses = tuple(metric for metric in ended.metrics if metric.name == contract.LOSS)
        training = Training(str(checkpoint), losses, ended.seconds)
        record.update(loss=training.loss, seconds=round(ended.seconds, 3))
    return training
