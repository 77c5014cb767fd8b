"""The last step: what came of the run, as report.json in its directory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from builder.model.run import Evaluation, Request, RunResult, Training, finite
from builder.steps.config import Config
from builder.steps.record import recorded

FILE, SCHEMA = "report.json", 1


def run(raw: Mapping[str, Any], config: Config, training: Training, evaluations: Iterable[Evaluation]) -> RunResult:
    request = Request.from_json(raw)
    with recorded(request, "end"):
        result = RunResult(
            run=request.run,
            flow=request.flow,
            commit=request.commit,
            reference=request.reference,
            state="succeeded",
            config=config.digest,
            loss=training.loss,
            scores={found.action: found.score for found in sorted(evaluations, key=lambda found: found.action)},
            links={"checkpoint": training.checkpoint, "directory": request.place.output},
        )
        curve = [{"step": metric.step, "loss": finite(metric.value)} for metric in training.losses]
        text = json.dumps({"schema": SCHEMA, **result.to_json(), "losses": curve}, indent=1)
        (Path(request.place.output) / FILE).write_text(text + "\n", encoding="utf-8")
    return result
