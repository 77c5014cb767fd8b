"""What comes of a team's own flow: its steps know nothing of the ledger, so Metaflow's records of them are copied there.

A run's scores are what the artifact `scores` of the step `end` says, a dictionary of numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from builder.data.ledger import EXIT, RUN, now
from builder.data.metaflow_tasks import MetaflowRun, Task
from builder.model.oci import canonical_json, sha256
from builder.model.run import Evaluation, Training, finite
from builder.steps import notices
from builder.steps.command import LAST_LINES
from builder.steps.config import Config, about
from builder.steps.perform import Failure
from builder.steps.publish import published
from builder.steps.report import conclude
from builder.steps.request import Request, identity
from builder.steps.root import ledger_of, objects_of

SCORES = "scores"
"""The artifact of the last step that is the run's scores."""

LOST = Failure("lost", "its process ended before it could say why")
Said = Mapping[str, Failure]
"""By step: what somebody else knows of its end, such as Argo of a pod that was killed."""


def parameters(words: Sequence[str]) -> Config:
    """The flow's parameters as far as they were given: they are its configuration."""
    values = dict(word.partition("=")[::2] for word in words)
    return Config(values, json.dumps(values, indent=1) + "\n", ".json", sha256(canonical_json(values)))


def copy_records(request: Request, run: MetaflowRun, begun: str = "") -> list[Task]:
    """Writes how each step stands into the ledger, while the run goes on. `begun` is a step that is about to begin."""
    tasks = run.tasks()
    steps = _by_step(tasks)
    for step, inner in steps.items():
        record = _record(inner)
        after = [task.started for task in tasks if task.step != step]
        if record["state"] != "running" and not (record["state"] == "succeeded" and max(after, default=0) >= max(map(_end, inner))):
            record = {**record, "state": "running"}  # a foreach may have more to begin, a failed task another attempt
        _write(request, step, record)
    if begun and begun not in steps:
        _write(request, begun, {"state": "running", "started": now(), "tasks": 1})
    return tasks


def finish(request: Request, run: MetaflowRun | None, state: str, said: Said | None = None) -> None:
    """Writes how each step ended, and what came of the run. `state` is that of the whole: succeeded, failed or stopped."""
    steps = _by_step(run.tasks()) if run else {}
    for step, inner in steps.items():
        record = _record(inner)
        if record["state"] == "running":
            record = {**record, **_unfinished(request, step, state, (said or {}).get(step, LOST))}
        if run:
            _publish_log(request, step, inner, run)
        if record["state"] == "failed" and "error" not in record and run:
            record |= _why(request, step, inner, run)
        if step == "end" and state == "succeeded" and run:
            record |= _concluded(request, run, inner[-1])
        _write(request, step, record)
    for step, known in ledger_of(request).read(request.run).items():
        if step not in (*steps, RUN, EXIT) and known["state"] == "running":  # its pod died before Metaflow began
            _write(request, step, {**known, **_unfinished(request, step, state, (said or {}).get(step, LOST))})


def _by_step(tasks: Sequence[Task]) -> dict[str, list[Task]]:
    steps: dict[str, list[Task]] = {}
    for task in tasks:
        steps.setdefault(task.step, []).append(task)
    return steps


def _end(task: Task) -> float:
    return task.ended if task.ended is not None else float("inf")


def _record(tasks: Sequence[Task]) -> dict[str, Any]:
    """Of a step: one that runs counts before one that failed, that before those that are done."""
    states = {task.state for task in tasks}
    state = next(known for known in ("running", "failed", "succeeded") if known in states)
    started = min(task.started for task in tasks)
    tries = max(task.attempt for task in tasks) + 1
    record: dict[str, Any] = {"state": state, "started": _time(started), "tasks": len(tasks), "tries": tries}
    if state == "running":
        return record
    ended = max(map(_end, tasks))
    return {**record, "ended": _time(ended), "seconds": round(ended - started, 3)}


def _write(request: Request, step: str, record: Mapping[str, Any]) -> None:
    facts: dict[str, Any] = {"commit": request.commit}
    if step == "start":
        config = parameters(request.overrides)
        facts |= {**about(request), "config": config.digest, "values": dict(config.values), "identity": identity(request, config.digest)}
    ledger_of(request).write(request.run, step, {**facts, **record})
    notices.once_of_step(request, step, record)


def _unfinished(request: Request, step: str, state: str, why: Failure) -> dict[str, Any]:
    """A task without an end, though the run has ended."""
    if state == "stopped":
        return {"state": "stopped", "ended": now()}
    return {"state": "failed", "ended": now(), "error": f"{request.run}: step {step}: {why.error}", "end": why.end}


def _why(request: Request, step: str, tasks: Sequence[Task], run: MetaflowRun) -> dict[str, Any]:
    failed = next(task for task in tasks if task.state == "failed")
    lines = run.log(failed, "stderr").decode("utf-8", "replace").rstrip().splitlines()[-LAST_LINES:]
    tail = "".join(f"\n  {line}" for line in lines)
    text = f"{request.run}: step {step} failed; its last lines:{tail}" if tail else f"{request.run}: step {step} failed; it wrote nothing"
    return {"error": text, "hint": f"the whole log: {_log_url(request, step)}", "end": "failed"}


def _publish_log(request: Request, step: str, tasks: Sequence[Task], run: MetaflowRun) -> None:
    """What all tasks of a step wrote, one after the other."""
    parts = []
    for task in tasks:
        title = f"--- {step} {task.name}\n".encode() if len(tasks) > 1 else b""
        parts.append(title + run.log(task, "stdout") + run.log(task, "stderr"))
    objects_of(request).put(published(request.run, step, "log"), b"".join(parts))


def _log_url(request: Request, step: str) -> str:
    return objects_of(request).url(published(request.run, step, "log"))


def _concluded(request: Request, run: MetaflowRun, end: Task) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    scores, problem = _scores(run, end)
    found = [Evaluation(action, score, 0.0) for action, score in sorted(scores.items())]
    result = conclude(request, parameters(request.overrides), Training("", (), 0.0), found, facts)
    if problem:
        facts["warning"] = problem
    return {**facts, "result": result.to_json()}


def _scores(run: MetaflowRun, end: Task) -> tuple[dict[str, float | None], str]:
    """The scores; and what is wrong with them, if something is: the run did what it should all the same."""
    try:
        found = run.artifact(end, SCORES)
    except ValueError as error:
        return {}, f"{error}; make it a dictionary of plain numbers: {{name: float(value)}}"
    if found is None:
        return {}, ""
    if not isinstance(found, dict) or not all(isinstance(name, str) and _is_number(value) for name, value in found.items()):
        return {}, f"artifact {SCORES} of step end is no dictionary of names to numbers: {found!r}"[:500]
    return {name: finite(float(value)) for name, value in found.items()}, ""


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
