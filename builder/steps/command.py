"""Runs one of the team's commands for a step, and reads what it reported."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from builder.errors import LaunchError, ProgramMissingError
from builder.launch import Job, Launcher, finish
from builder.launch.here import Here, environment, executable
from builder.model.run import Metric
from builder.settings import ExternalSettings, LaunchSettings, SlurmSettings, seconds
from builder.steps import contract, ends, markers
from builder.steps.carrying import carried
from builder.steps.gangs import gangs_of
from builder.steps.jobs import NOT_PINNED
from builder.steps.publish import publish
from builder.steps.request import Request

LAST_LINES = 20
_LATE = 600  # seconds: Slurm ends jobs late, and their files are brought back


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ended well: its metrics in order, the log it wrote, and how long it took."""

    metrics: tuple[Metric, ...]
    log: Path
    seconds: float


def log_path(request: Request, step: str) -> Path:
    return directory(request, step) / "log"


def metrics_path(request: Request, step: str) -> Path:
    return directory(request, step) / "metrics.jsonl"


def directory(request: Request, step: str) -> Path:
    """Where a step's log, metrics and other output are."""
    return Path(request.place.output) / step


def run_command(
    request: Request,
    step: str,
    command: tuple[str, ...],
    values: Mapping[str, str],
    facts: dict[str, Any] | None = None,
    read: Mapping[str, str] | None = None,
) -> Ended:
    """Executes a command whose placeholders are filled from `values` (config, checkpoint, action).

    `facts` are what the step's record says: how often it was tried (`tries`), and, while a job waits for its turn, how that stands.
    `read`: which of the values are checkpoints that it reads, with their digests.

    Its log and metrics go to the data root however it ends. Raises LaunchError, with how it ended and the end of the log, when
    it does not end well.
    """
    facts = {} if facts is None else facts
    job = replace(_job(request, step, command, values, read or {}), attempt=facts.get("tries", 1))
    started, kills = time.monotonic(), ends.oom_kills()
    if request.place.echo:
        markers.say(markers.BEGINS)
    try:
        finished = finish(launcher_for(request, step, facts), job, limit_of(request.launching(step)))
    except ProgramMissingError as error:
        raise _no_program(_key(request, values), job, error) from error
    finally:
        if request.place.echo:
            markers.say(markers.ENDS)
        publish(request, step, {path.name: path for path in (job.log, metrics_path(request, step), outbox_path(request, step))})
    took = time.monotonic() - started
    if finished.code != 0:
        end = finished.end or ends.end_of(finished.code, timed_out=finished.timed_out, out_of_memory=ends.oom_kills() > kills)
        raise _failed(request, job, finished.said or ends.describe(finished.code, end, took), end)
    return Ended(contract.read_metrics(metrics_path(request, step)), job.log, took)


def launcher_for(request: Request, step: str, facts: dict[str, Any]) -> Launcher:
    """What executes the step's command, as the settings say. `facts` hear of a job while it waits."""
    launch = request.launching(step)
    if launch.on == "slurm":
        from builder.launch.slurm.attempt import Environment
        from builder.launch.slurm.bastion import Bastion
        from builder.launch.slurm.launcher import Slurm
        from builder.steps.job_news import JobNews

        heard = JobNews(request, step, facts).heard
        environment = Environment(request.environment.reference, request.environment.workdir)
        return Slurm(Bastion(timed(launch)), request.run, environment, markers.note, heard, echo=request.place.echo)
    if launch.on == "jobset":
        return gangs_of(request, step, facts)
    return Here(os.environ, echo=request.place.echo)


def limit_of(launch: LaunchSettings) -> float | None:
    """How long a command may take, in seconds. A job's time begins when it starts, and is Slurm's to measure: a step waits for no longer
    than that and the wait in the queue, where both have a limit.
    """
    if launch.on != "slurm":
        return seconds(launch.timeout) if launch.timeout else None
    job, queue = timed(launch).time, launch.slurm.queue_limit
    return seconds(job) + seconds(queue) + _LATE if job and queue else None


def timed(launch: LaunchSettings) -> SlurmSettings:
    """What a job is asked for: the shorter of the step's `timeout` and the job's own `time`."""
    limits = [limit for limit in (launch.timeout, launch.slurm.time) if limit]
    return replace(launch.slurm, time=min(limits, key=seconds)) if limits else launch.slurm


def environment_of(request: Request, step: str) -> dict[str, str]:
    """For the step's record: in which image its command runs elsewhere than in the commit's own, by digest, or that nothing pins it."""
    launch = request.launching(step)
    if launch.on != "slurm":
        return {}
    return {"environment": NOT_PINNED if launch.slurm.container == "none" else request.environment.reference}


def attaches(request: Request, step: str) -> bool:
    """Whether the step's command goes on without its pod, so that another pod goes on waiting for it."""
    return request.launching(step).on in ("slurm", "jobset")


def outbox_path(request: Request, step: str) -> Path:
    return directory(request, step) / "outbox.jsonl"


def _job(request: Request, step: str, command: tuple[str, ...], values: Mapping[str, str], read: Mapping[str, str]) -> Job:
    output = directory(request, step) / "output"
    output.mkdir(parents=True, exist_ok=True)
    for file in (metrics_path(request, step), outbox_path(request, step)):
        file.unlink(missing_ok=True)  # of the try before this one
    values = {**values, "output": str(output)}
    files = {contract.METRICS: str(metrics_path(request, step)), contract.OUTBOX: str(outbox_path(request, step))}
    written = _written(values)
    moved = carried(request, step, {Path(values[key]): digest for key, digest in read.items() if digest}, next(iter(written), None))
    return Job(
        name=step,
        argv=contract.fill(command, values, _key(request, values)),
        workdir=Path(request.place.workdir),
        log=log_path(request, step),
        pythonpath=request.place.pythonpath,
        python=request.place.python,
        env=request.place.env,
        variables={**_variables(request, values), **files},
        hidden=(request.notify.webhook_env, request.notify.token_env, *_keys(request)),
        base=Path(request.place.output),
        inputs=tuple(Path(values[key]) for key in ("config", "checkpoint", "initial") if values.get(key)),
        outputs=(metrics_path(request, step), outbox_path(request, step), output, *(() if moved else written)),
        carried=moved,
        sought={path: request.settings.checkpoint for path in written if request.settings.checkpoint},
    )


def _written(values: Mapping[str, str]) -> list[Path]:
    """The checkpoint is what training leaves; an evaluation (which has an action) only reads it."""
    return [Path(values["checkpoint"])] if "checkpoint" in values and "action" not in values else []


def _keys(request: Request) -> list[str]:
    """Whoever has a partner's can sign results, and whoever has the bastion's can log in."""
    partners = [found.key_env for found in request.settings.evals.values() if isinstance(found, ExternalSettings)]
    return [*partners, *request.slurm_keys]


def _key(request: Request, values: Mapping[str, str]) -> str:
    """Where the settings have the command."""
    return f"[flow.{request.flow}.evals] {values['action']}" if "action" in values else f"[flow.{request.flow}] command"


def _variables(request: Request, values: Mapping[str, str]) -> dict[str, str]:
    named = {"config": contract.CONFIG, "checkpoint": contract.CHECKPOINT, "output": contract.OUTPUT, "action": contract.ACTION}
    named["initial"] = contract.INITIAL
    own = {contract.COMMIT: request.commit, contract.RUN: request.run}
    if request.origin.parent:
        own[contract.PARENT] = request.origin.parent
    return {**own, **{named[key]: value for key, value in values.items() if value}}


def _no_program(key: str, job: Job, error: ProgramMissingError) -> LaunchError:
    program = executable(job)[0]
    place = f"in {job.workdir}" if "/" in program else f"on PATH, {environment(job, os.environ)['PATH']}"
    return LaunchError(f"{key}: {error.message}", f"{program}, its first word, was looked for {place}")


def _failed(request: Request, job: Job, what: str, end: str) -> LaunchError:
    tail = "\n".join(f"  {line}" for line in last_lines(job.log))
    message = f"{request.run}: step {job.name} failed: `{' '.join(job.argv)}` {what}"
    whole = f"the whole log: {job.log}" if not request.place.echo else f"the whole log: builder logs {request.run} {job.name}"
    return LaunchError(f"{message}; its last lines:\n{tail}" if tail else f"{message}; it wrote nothing", whole, end)


def last_lines(log: Path) -> list[str]:
    """The end of a log, however long the log is."""
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            return [line.rstrip("\n") for line in deque(lines, LAST_LINES)]
    except FileNotFoundError:
        return []
