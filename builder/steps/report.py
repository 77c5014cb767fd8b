"""The last steps: what came of the run, as JSON and Markdown in the data root."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from builder.data.ledger import now, seconds_of
from builder.files import write_whole
from builder.model.run import Evaluation, RunResult, Training, finite
from builder.steps import green, markdown
from builder.steps.config import Config
from builder.steps.links import links_of
from builder.steps.perform import Facts, perform
from builder.steps.publish import publish, published
from builder.steps.request import Request, Task, identity
from builder.steps.restore import restored_by
from builder.steps.root import ledger_of, objects_of
from builder.steps.tracker import track

FILE, SCHEMA = "report.json", 1


def join(evaluations: Iterable[Evaluation]) -> tuple[Evaluation, ...]:
    """In the order of the action types' names."""
    return tuple(sorted(evaluations, key=lambda found: found.action))


def run(task: Task, config: Config, training: Training, evaluations: Sequence[Evaluation]) -> RunResult:
    return perform(task, "end", RunResult, lambda facts: conclude(task.request, config, training, evaluations, facts))


def conclude(request: Request, config: Config, training: Training, evaluations: Sequence[Evaluation], facts: Facts) -> RunResult:
    """The result of a run that succeeded, written down for people and for the runs after it."""
    baseline = green.last(objects_of(request), request.flow, before=request.run)
    result = RunResult(
        run=request.run,
        flow=request.flow,
        commit=request.commit,
        reference=request.reference,
        state="succeeded",
        config=config.digest,
        identity=identity(request, config.digest),
        checkpoint=training.checkpoint,
        loss=training.loss,
        scores={found.action: found.score for found in evaluations},
        holes={found.action: found.error for found in evaluations if found.error},
        baseline={} if baseline is None else {name: baseline[name] for name in ("run", "commit", "scores", "loss")},
        restored=restored_by(request),
        links={**_directory(request), **links_of(request), "report": objects_of(request).url(published(request.run, "", "report.md"))},
        seconds=_since_start(request),
    )
    link, problem = track(request, config.values, training, result)
    result = replace(result, links={**result.links, **({"mlflow": link} if link else {})})
    facts.update({"warning": problem} if problem else {})
    facts.update(loss=finite(result.loss), scores=result.to_json()["scores"], holes=dict(result.holes), config=config.digest)
    _write(request, result, training)
    green.remember(objects_of(request), request, result)
    return result


def _directory(request: Request) -> dict[str, str]:
    """A pod's own directory is gone with it."""
    return {} if request.on == "argo" else {"directory": request.place.output}


def _write(request: Request, result: RunResult, training: Training) -> None:
    curve = [{"step": metric.step, "loss": finite(metric.value)} for metric in training.losses]
    document = json.dumps({"schema": SCHEMA, **result.to_json(), "losses": curve}, indent=1)
    output = Path(request.place.output)
    write_whole(output / FILE, f"{document}\n".encode())
    write_whole(output / "report.md", markdown.render(request, result, ledger_of(request).read(request.run)).encode())
    publish(request, "", {FILE: output / FILE, "report.md": output / "report.md"})


def _since_start(request: Request) -> float:
    started = ledger_of(request).read(request.run).get("start", {}).get("started", now())
    return round(max(0.0, time.time() - seconds_of(started)), 3)
