"""Runs one of the team's commands for a step, and reads what it reported."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.errors import LaunchError, ProgramMissingError
from builder.launch import Job, finish
from builder.launch.here import Here, environment, executable
from builder.model.run import Metric, Request
from builder.steps import contract

LAST_LINES = 20


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ended well: its metrics in order, and how long it took."""

    metrics: tuple[Metric, ...]
    seconds: float


def log_path(request: Request, step: str) -> Path:
    return directory(request, step) / "log"


def directory(request: Request, step: str) -> Path:
    """Where a step's log, metrics and other output are."""
    return Path(request.place.output) / step


def run_command(request: Request, step: str, command: tuple[str, ...], values: Mapping[str, str]) -> Ended:
    """Executes a command whose placeholders are filled from `values` (config, checkpoint, action).

    Raises LaunchError with the exit code and the end of the log when it does not end well.
    """
    key = f"[flow.{request.flow}.evals] {values['action']}" if "action" in values else f"[flow.{request.flow}] command"
    output = directory(request, step) / "output"
    output.mkdir(parents=True, exist_ok=True)
    metrics = directory(request, step) / "metrics.jsonl"
    values = {**values, "output": str(output)}
    job = Job(
        name=step,
        argv=contract.fill(command, values, key),
        workdir=Path(request.place.workdir),
        log=log_path(request, step),
        pythonpath=request.place.pythonpath,
        python=request.place.python,
        env=request.place.env,
        variables={**_variables(request, values), contract.METRICS: str(metrics)},
    )
    started = time.monotonic()
    try:
        code = finish(Here(os.environ), job)
    except ProgramMissingError as error:
        raise _no_program(key, job, error) from error
    if code != 0:
        raise _failed(request, job, code)
    return Ended(contract.read_metrics(metrics), time.monotonic() - started)


def _variables(request: Request, values: Mapping[str, str]) -> dict[str, str]:
    named = {"config": contract.CONFIG, "checkpoint": contract.CHECKPOINT, "output": contract.OUTPUT, "action": contract.ACTION}
    return {contract.COMMIT: request.commit, contract.RUN: request.run, **{named[key]: value for key, value in values.items()}}


def _no_program(key: str, job: Job, error: ProgramMissingError) -> LaunchError:
    program = executable(job)[0]
    place = f"in {job.workdir}" if "/" in program else f"on PATH, {environment(job, os.environ)['PATH']}"
    return LaunchError(f"{key}: {error.message}", f"{program}, its first word, was looked for {place}")


def _failed(request: Request, job: Job, code: int) -> LaunchError:
    what = f"died by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    tail = "\n".join(f"  {line}" for line in last_lines(job.log))
    message = f"{request.run}: step {job.name} failed: `{' '.join(job.argv)}` {what}"
    return LaunchError(f"{message}; its last lines:\n{tail}" if tail else f"{message}; it wrote nothing", f"the whole log: {job.log}")


def last_lines(log: Path) -> list[str]:
    """The end of a log, however long the log is."""
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            return [line.rstrip("\n") for line in deque(lines, LAST_LINES)]
    except FileNotFoundError:
        return []
