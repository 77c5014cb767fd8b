"""From facts to what is wrong, and to what may be put right: pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from builder.launch.slurm.survey import Listed
from builder.model.units import age
from builder.runs.history import OPEN
from builder.settings import WatchSettings, seconds
from builder.settings.times import last_due
from builder.watch.facts import ARGO, LEDGER, Run, Schedule, Workflow, World

KINDS = ("failed", "missing", "zombie", "gone", "long", "pending", "done", "blind")
"""In the order in which a digest has them."""

CANCEL, END = "cancel", "end"
_LEAST = 600.0  # seconds: what takes less is not told as long, however quick it usually is
_BAD = ("Failed", "Error")
_BEGINS = ("starting", "submitting")
_STARTER = 7200.0
"""Seconds in which another workflow may be making the image of a run that is not there yet."""
_WAITS = ("starting", "submitting", "submitted", "waiting")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that people should know. `key` is the same as long as it is the same trouble; a new `detail` makes it news again.

    `text` says what is wrong with `subject`. It is told when it was there for `patience` seconds. `lasting`: it is said when it is over;
    else it is an event. It cannot be judged while one of `sources` cannot be asked.
    """

    key: str
    kind: str
    subject: str
    text: str
    sources: tuple[str, ...] = ()
    detail: str = ""
    patience: float = 0.0
    lasting: bool = True


@dataclass(frozen=True, slots=True)
class Cure:
    """What is safe to do: `cancel` the jobs that a run has left on `bastion`, or write the `end` of a run that nobody wrote."""

    kind: str
    run: str
    why: str
    bastion: str = ""
    state: str = ""


def findings(world: World, limits: WatchSettings) -> tuple[Finding, ...]:
    """Everything that is wrong, in the order of KINDS."""
    found = chain(
        _blind(world), _of_jobs(world, limits), _gone(world, limits), _of_runs(world, limits), _of_workflows(world, limits),
        _of_schedules(world, limits),
    )  # fmt: skip
    by_key = {finding.key: finding for finding in found}
    return tuple(sorted(by_key.values(), key=lambda finding: (KINDS.index(finding.kind), finding.key)))


def cures(world: World, limits: WatchSettings) -> tuple[Cure, ...]:
    """What neither the step's own stop nor the handler of the run's end did: law allows to do it for them."""
    ends = [_end_of(world, run) for run in world.runs if _end_is_missing(world, run, limits)]
    return (*_cancelled(world, limits), *ends)


def _blind(world: World) -> Iterator[Finding]:
    for source, why in world.unseen.items():
        yield Finding(f"blind:{source}", "blind", source, f"cannot be asked: {why}")


# jobs of Slurm


def _of_jobs(world: World, limits: WatchSettings) -> Iterator[Finding]:
    """Those that are cancelled now are told as such."""
    runs = {run.name: run for run in world.runs}
    cured = {(cure.bastion, cure.run) for cure in _cancelled(world, limits)}
    for bastion, jobs in world.jobs.items():
        for job in jobs:
            if (bastion, job.run) in cured:
                continue
            if job.run and (why := _orphan(world, job, runs.get(job.run), limits)):
                sources = (bastion, LEDGER, ARGO)
                yield Finding(f"orphan:{_key(job)}", "zombie", _named(job), f"{job.state.lower()} without a living run: {why}", sources)
            elif job.run or job.user in limits.users:
                yield from _of_job(world, bastion, job, runs.get(job.run), limits)


def _of_job(world: World, bastion: str, job: Listed, run: Run | None, limits: WatchSettings) -> Iterator[Finding]:
    if job.is_waiting:
        yield from _pending_job(world, bastion, job, limits)
    elif job.gpus and job.quiet_since is not None and world.now - job.quiet_since > seconds(limits.silent):
        text = f"holds {job.gpus} GPUs on {job.nodes}, and its log got no line for {age(world.now - job.quiet_since)}"
        yield Finding(f"silent:{_key(job)}", "zombie", _named(job), text, (bastion,))
    elif job.starts is not None:
        took, usual = world.now - job.starts, world.usual.get(f"{run.flow}/{job.step}") if run else None
        if took > _longest(usual, limits):
            yield Finding(f"long:{_key(job)}", "long", _named(job), _too_long(took, usual), (bastion,))


def _pending_job(world: World, bastion: str, job: Listed, limits: WatchSettings) -> Iterator[Finding]:
    since = world.now - (job.submitted if job.submitted is not None else world.now)
    if since > seconds(limits.pending):
        starts = f", starts in about {age(job.starts - world.now)}" if job.starts and job.starts > world.now else ""
        yield Finding(
            f"pending:{_key(job)}", "pending", _named(job), f"waits for {age(since)}: {job.reason or 'no reason given'}{starts}", (bastion,)
        )


def _orphan(world: World, job: Listed, run: Run | None, limits: WatchSettings) -> str:
    """Why the job's run lives no more; empty while it does, or may do."""
    patience = seconds(limits.gone)
    if run is None:
        mine = job.mine and _since(world, job.submitted) >= patience  # another person's may be in another ledger
        return "the ledger has no such run" if mine else ""
    if run.is_open:
        asked = run.stop and _since(world, run.stop_at) >= patience
        return f"{run.stop} asked for the end of {run.name} {age(_since(world, run.stop_at))} ago" if asked else ""
    return "" if _since(world, run.ended) < patience else f"{run.name} is {run.state}"


def _cancelled(world: World, limits: WatchSettings) -> Iterator[Cure]:
    """Of a run whose end somebody asked for, or that Argo's handler ended as anything but a success."""
    runs = {run.name: run for run in world.runs}
    for bastion, jobs in world.jobs.items():
        for name in sorted({job.run for job in jobs if job.run}):
            run = runs.get(name)
            if run is None or (run.is_open and not run.stop):
                continue
            over = run.handled and run.written in ("failed", "stopped")
            when = run.stop_at if run.stop else run.ended
            if (run.stop or over) and _since(world, when) >= seconds(limits.gone):
                yield Cure(CANCEL, name, f"{run.stop} asked for its end" if run.stop else f"it is {run.state}", bastion)


def _since(world: World, when: float | None) -> float:
    return world.now - when if when is not None else 0.0


def _gone(world: World, limits: WatchSettings) -> Iterator[Finding]:
    """Runs that wait for a job that Slurm has no more. Before the job is submitted, and after its end, files travel: hence patience."""
    for run in world.runs:
        for step, bastion in run.slurm.items() if run.is_open else ():
            there = any((job.run, job.step) == (run.name, step) for job in world.jobs.get(bastion, ()))
            if bastion in world.jobs and not there:
                text = f"step {step} waits for a job that {bastion} does not have"
                yield Finding(f"gone:{run.name}:{step}", "gone", run.name, text, (bastion, LEDGER), patience=float(seconds(limits.gone)))


def _key(job: Listed) -> str:
    return job.name if job.run else f"{job.user}:{job.id}:{job.name}"


def _named(job: Listed) -> str:
    return f"job {job.id} {job.name}"


# runs


def _of_runs(world: World, limits: WatchSettings) -> Iterator[Finding]:
    for run in world.runs:
        took = world.now - (run.working if run.working is not None else run.started)
        usual = world.usual.get(f"{run.flow}@{run.on}")
        if run.state in _WAITS and world.now - run.started > seconds(limits.pending):
            text = f"is {run.state} for {age(world.now - run.started)}{f' {run.detail}' if run.detail else ''}"
            yield Finding(f"pending:{run.name}", "pending", run.name, text, (LEDGER, ARGO))
        elif run.state == "running" and took > _longest(usual, limits):
            more = f"; {run.detail}" if run.detail else ""
            yield Finding(f"long:{run.name}", "long", run.name, f"{_too_long(took, usual)}{more}", (LEDGER, ARGO))
        elif run.state == "running" and run.detail and took > seconds(limits.pending):
            yield Finding(f"pending:{run.name}", "pending", run.name, f"cannot go on: {run.detail}", (LEDGER, ARGO))


def _longest(usual: float | None, limits: WatchSettings) -> float:
    return max(_LEAST, usual * limits.multiple) if usual is not None else float(seconds(limits.limit))


def _too_long(took: float, usual: float | None) -> str:
    return f"goes on for {age(took)}" + (f", usually it takes {age(usual)}" if usual is not None else "")


def _end_is_missing(world: World, run: Run, limits: WatchSettings) -> bool:
    """Whether the run is over, and whoever writes that down had time to."""
    if run.written not in OPEN or run.is_open:
        return False
    if run.written in _BEGINS and _since(world, run.started) < _STARTER:
        return False
    return run.state == "lost" or _since(world, run.ended) >= seconds(limits.gone)


def _end_of(world: World, run: Run) -> Cure:
    message = next((found.message for found in world.workflows if found.name == run.name), "")
    return Cure(END, run.name, message or run.detail, state=run.state)


# Argo


def _of_workflows(world: World, limits: WatchSettings) -> Iterator[Finding]:
    known = {run.name for run in world.runs}
    newest = _newest_ended(world)
    for flow in world.workflows:
        if flow.phase in _BAD:
            yield from _failed(world, flow, newest, limits)
        elif flow.name not in known and not flow.finished:
            yield from _unknown(world, flow, limits)


def _failed(world: World, flow: Workflow, newest: dict[str, Workflow], limits: WatchSettings) -> Iterator[Finding]:
    if flow.stopped or _since(world, flow.finished or flow.created) > seconds(limits.failed):
        return
    text = f"failed {age(_since(world, flow.finished or flow.created))} ago{f': {_line(flow.message)}' if flow.message else ''}"
    if newest.get(flow.schedule) is flow:
        yield Finding(f"failed:schedule {flow.schedule}", "failed", f"schedule {flow.schedule}", f"{flow.name} {text}", (ARGO,), flow.name)
    else:
        yield Finding(f"failed:{flow.name}", "failed", flow.name, text, (ARGO,), lasting=False)


def _newest_ended(world: World) -> dict[str, Workflow]:
    """Of each schedule the run that began last of those that have ended."""
    ended = sorted((flow for flow in world.workflows if flow.schedule and flow.finished), key=lambda flow: flow.created)
    return {flow.schedule: flow for flow in ended}


def _unknown(world: World, flow: Workflow, limits: WatchSettings) -> Iterator[Finding]:
    """A workflow of the namespace that the ledger does not know."""
    if flow.phase == "Running" and flow.started is not None:
        if world.now - flow.started > seconds(limits.limit):
            yield Finding(f"long:{flow.name}", "long", flow.name, _too_long(world.now - flow.started, None), (ARGO,))
    elif world.now - flow.created > seconds(limits.pending):
        text = f"has not begun in {age(world.now - flow.created)}{f': {_line(flow.message)}' if flow.message else ''}"
        yield Finding(f"pending:{flow.name}", "pending", flow.name, text, (ARGO,))


def _line(text: str) -> str:
    return (text.splitlines() or [""])[0][:300]


def _of_schedules(world: World, limits: WatchSettings) -> Iterator[Finding]:
    if ARGO in world.unseen:
        return
    there = {schedule.name for schedule in world.schedules}
    for name in world.planned:
        if name not in there:
            yield Finding(f"undeployed:{name}", "missing", f"schedule {name}", "is in the settings, and not in the cluster", (ARGO,))
    for schedule in world.schedules:
        if (due := _missed(schedule, world, limits)) is not None:
            going = f": {', '.join(schedule.going)} still goes on" if schedule.going and schedule.concurrency == "Forbid" else ""
            text = f"did not start {age(world.now - due)} ago{going}"
            yield Finding(f"missing:{schedule.name}", "missing", f"schedule {schedule.name}", text, (ARGO,))


def _missed(schedule: Schedule, world: World, limits: WatchSettings) -> float | None:
    """When the schedule should have started a run, and did not; None when all is well."""
    if schedule.paused:
        return None
    due = last_due(schedule.cron, schedule.timezone, schedule.since, world.now - seconds(limits.late))
    return due if due is not None and (schedule.last is None or schedule.last < due) else None
