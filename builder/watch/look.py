"""Asks Slurm, Argo and the data root for the facts. Reads only. A source that cannot be asked is one of the facts."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from builder.cluster.interface import Cluster
from builder.data.interface import Objects
from builder.data.keys import is_plain_name
from builder.data.ledger import EXIT, Ledger, seconds_of
from builder.data.threads import in_threads
from builder.deploy.apply import TEMPLATE_LABEL
from builder.deploy.cron import SCHEDULE_LABEL
from builder.deploy.names import MANAGED
from builder.errors import BuilderError
from builder.launch.slurm.bastion import Bastion
from builder.launch.slurm.states import GOING, WAITING
from builder.launch.slurm.survey import Listed, clusters, survey, with_logs
from builder.runs.history import Seen, seconds_working
from builder.runs.reconcile import reconcile
from builder.runs.sources import Sources
from builder.settings import Settings
from builder.steps.jobs import JOB
from builder.steps.outcome import steps_of
from builder.steps.stopping import asked_to_stop
from builder.watch.facts import ARGO, Run, Schedule, Workflow, World

_LAST = 1000
"""So many runs are looked at, those that changed last."""
_ENOUGH = 3
"""So many that succeeded tell what is usual."""
_PATIENCE = 20.0  # seconds for a bastion


@dataclass
class Snapshot:
    """A cluster's workflows as they were at one moment: what asks for them again gets the same."""

    cluster: Cluster
    workflows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        return self.cluster.namespace

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        if kind != "workflows":
            return self.cluster.get(kind, name)
        return next((found for found in self.workflows if found["metadata"]["name"] == name), None)

    def list(self, kind: str, labels: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        if kind != "workflows":
            yield from self.cluster.list(kind, labels)
            return
        for found in self.workflows:
            if (labels or {}).items() <= (found["metadata"].get("labels") or {}).items():
                yield found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cluster, name)


def look(sources: Sources) -> World:
    """Raises DataError, AuthError when the data root cannot be read: then nothing can be said of anything."""
    now, unseen = time.time(), dict[str, str]()
    runs = [Seen.of(entry.run, entry.records) for entry in sources.ledger.runs(_LAST, sources.warn)]
    snapshot = _argo(sources, runs, unseen)  # after the ledger: what it says was submitted is there by now
    schedules = _schedules(snapshot, unseen) if snapshot else ()
    jobs = dict(_jobs(sources.settings, now, unseen))
    known = reconcile(runs, lambda: snapshot, lambda _: None) if snapshot else _without_argo(runs)
    late = _of_jobs(sources.ledger, jobs, {seen.run for seen in runs})
    wanted = {job.run for listed in jobs.values() for job in listed}
    return World(
        now=now,
        jobs=jobs,
        workflows=tuple(_workflow(found) for found in snapshot.workflows) if snapshot else (),
        schedules=schedules,
        runs=_runs(sources.objects, [*runs, *late], [*known, *late], snapshot, wanted),
        usual=usual(runs),
        planned=tuple(sorted(sources.settings.schedule)) if snapshot else (),
        unseen=unseen,
    )


# Argo


def _argo(sources: Sources, runs: Iterable[Seen], unseen: dict[str, str]) -> Snapshot | None:
    """None where there is none to ask, or it does not answer."""
    settings = sources.settings
    if not (settings.run.on == "argo" or settings.schedule or any(seen.on == "argo" for seen in runs)):
        return None
    try:
        cluster = sources.connect()
        return Snapshot(cluster, list(cluster.list("workflows")))
    except BuilderError as error:
        unseen[ARGO] = error.message
        return None


def _without_argo(runs: Sequence[Seen]) -> list[Seen]:
    elsewhere = {seen.run: seen for seen in reconcile([seen for seen in runs if seen.on != "argo"], _nowhere, lambda _: None)}
    return [elsewhere.get(seen.run, seen) for seen in runs]


def _nowhere() -> Cluster:
    raise AssertionError("no run of these is on Argo")


def _workflow(found: Mapping[str, Any]) -> Workflow:
    metadata, status = found["metadata"], found.get("status") or {}
    labels, message = metadata.get("labels") or {}, str(status.get("message") or "")
    return Workflow(
        name=metadata["name"],
        phase=str(status.get("phase") or ""),
        created=seconds_of(metadata["creationTimestamp"]),
        started=_time(status.get("startedAt")),
        finished=_time(status.get("finishedAt")),
        message=message,
        flow=str(labels.get("builder/flow") or labels.get(TEMPLATE_LABEL) or ""),
        schedule=str(labels.get(SCHEDULE_LABEL) or ""),
        stopped=bool(found.get("spec", {}).get("shutdown")) or "shutdown" in message.lower(),
    )


def _schedules(snapshot: Snapshot, unseen: dict[str, str]) -> tuple[Schedule, ...]:
    try:
        return tuple(_schedule(found) for found in snapshot.list("cronworkflows", MANAGED))
    except BuilderError as error:
        unseen[ARGO] = error.message
        return ()


def _schedule(found: Mapping[str, Any]) -> Schedule:
    from builder.deploy.schedules import DEPLOYED

    metadata, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    deployed = str((metadata.get("annotations") or {}).get(DEPLOYED, "")).partition(",")[0]
    return Schedule(
        name=str((metadata.get("labels") or {}).get(SCHEDULE_LABEL) or metadata["name"]),
        cron=str(next(iter(spec.get("schedules") or ()), spec.get("schedule", ""))),
        timezone=str(spec.get("timezone") or "UTC"),
        since=max(seconds_of(metadata["creationTimestamp"]), _time(deployed) or 0.0),
        last=_time(status.get("lastScheduledTime")),
        paused=bool(spec.get("suspend")),
        going=tuple(str(active.get("name", "")) for active in status.get("active") or ()),
        concurrency=str(spec.get("concurrencyPolicy") or "Allow"),
    )


def _time(text: Any) -> float | None:
    try:
        return seconds_of(str(text)) if text else None
    except ValueError:
        return None


# Slurm


def _jobs(settings: Settings, now: float, unseen: dict[str, str]) -> Iterator[tuple[str, tuple[Listed, ...]]]:
    for host, known in clusters(settings).items():
        bastion = Bastion(known[0], patience=_PATIENCE)
        try:
            there, jobs = survey(bastion, [slurm.root for slurm in known])
            yield host, tuple(_moved(job, now - there) for job in with_logs(bastion, jobs))
        except BuilderError as error:
            unseen[host] = error.message
        finally:
            bastion.close()


def _moved(job: Listed, seconds: float) -> Listed:
    """By this machine's clock."""

    def moved(time: float | None) -> float | None:
        return time + seconds if time is not None else None

    return replace(job, submitted=moved(job.submitted), starts=moved(job.starts), quiet_since=moved(job.quiet_since))


# runs


def _of_jobs(ledger: Ledger, jobs: Mapping[str, Iterable[Listed]], known: Collection[str]) -> list[Seen]:
    """Runs of jobs that are not among those: of long ago, or new, so that Argo was asked before. They are as the ledger has them."""
    names = {job.run for listed in jobs.values() for job in listed if job.run and job.run not in known}
    read = {name: ledger.read(name) for name in sorted(names) if is_plain_name(name)}
    return [Seen.of(name, records) for name, records in read.items() if records]


def _runs(objects: Objects, before: Sequence[Seen], after: Sequence[Seen], snapshot: Snapshot | None, wanted: set[str]) -> tuple[Run, ...]:
    """Those that go on, those whose end is not written, and those that have jobs."""
    pairs = [(was, now) for was, now in zip(before, after, strict=True) if was.is_open or was.run in wanted]
    asked = in_threads(lambda pair: asked_to_stop(objects, pair[0].run), pairs)
    return tuple(_run(was, now, stop, snapshot) for (was, now), stop in zip(pairs, asked, strict=True))


def _run(was: Seen, now: Seen, stop: tuple[str, str], snapshot: Snapshot | None) -> Run:
    workflow = (snapshot.get("workflows", was.run) if snapshot and was.on == "argo" else None) or {}
    finished = _time((workflow.get("status") or {}).get("finishedAt"))
    return Run(
        name=was.run,
        flow=was.flow,
        on=was.on,
        state=now.state,
        written=was.state,
        is_open=now.is_open,
        started=_time(was.started) or 0.0,
        working=_time(was.records.get("start", {}).get("started")),
        ended=_time(was.ended) or finished,
        schedule=str(was.origin.get("schedule") or ""),
        detail=now.detail,
        stop=stop[0],
        stop_at=_time(stop[1]),
        handled=was.records.get(EXIT, {}).get("state") == was.state,
        slurm=_slurm_steps(was),
    )


def _slurm_steps(seen: Seen) -> dict[str, str]:
    """The steps that wait for a job which Slurm had when they looked last, with its bastion."""
    found = {step: record for step, record in steps_of(seen.records).items() if record.get("state") == "running" and record.get(JOB)}
    return {step: str(record[JOB]["cluster"]) for step, record in found.items() if record[JOB]["state"] in (*WAITING, *GOING)}


def usual(runs: Iterable[Seen]) -> dict[str, float]:
    """`flow@on`, and `flow/step`, to the seconds that it usually takes: the median of those that succeeded."""
    took: dict[str, list[float]] = {}
    for seen in runs:
        if seen.state == "succeeded" and not seen.origin.get("retried"):
            took.setdefault(f"{seen.flow}@{seen.on}", []).append(seconds_working(seen))
            for step, record in steps_of(seen.records).items():
                if record.get("state") == "succeeded" and record.get("ended") and record.get("started"):
                    seconds = seconds_of(record["ended"]) - seconds_of(record["started"])
                    took.setdefault(f"{seen.flow}/{step}", []).append(seconds)
    return {name: median(known) for name, known in took.items() if len(known) >= _ENOUGH}
