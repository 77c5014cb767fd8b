"""What `builder status --slurm` prints: the jobs of every Slurm that the settings name, whoever's they are, with their runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from builder.cli import output
from builder.errors import BuilderError, UsageError

if TYPE_CHECKING:
    from builder.cli.reading import Reader
    from builder.launch.slurm.survey import Listed
    from builder.runs.history import Seen
    from builder.settings import SlurmSettings

_PATIENCE = 20.0  # seconds for a bastion


@dataclass(frozen=True, slots=True)
class Row:
    """A job, where it is, and its run: None where the ledger has none of that name, or the job is none of this tool's. `now` is the
    cluster's own time.
    """

    cluster: str
    now: float
    job: Listed
    run: Seen | None


def show_jobs(reader: Reader, form: str, *, mine: bool = False) -> None:
    """With `mine` only those whose run was started by whoever asks. A cluster that does not answer is a warning, unless none does."""
    rows = _rows(reader)
    if mine:
        from builder.cli.person import who

        rows = [row for row in rows if row.run and row.run.who == who()]
    if form == "json":
        output.document([as_json(row) for row in rows])
    elif form == "name":
        for row in rows:
            output.result(row.job.name)
    elif rows:
        _table(rows)
    else:
        output.note("no job waits or runs there")


def _rows(reader: Reader) -> list[Row]:
    from builder.launch.slurm.survey import clusters

    known = clusters(reader.settings.in_force)
    if not known:
        raise UsageError("no [launch.STEP.slurm] of the settings has a bastion and a root", "`builder status` lists runs")
    found: list[tuple[str, float, Listed]] = []
    failed: list[BuilderError] = []
    for host, roots in known.items():
        try:
            found += _listed(host, roots)
        except BuilderError as error:  # noqa: PERF203 - there are a handful
            failed.append(error)
    if len(failed) == len(known):
        raise failed[0]
    for trouble in failed:
        output.warn(f"jobs there are not shown: {trouble.message}")
    runs = _runs(reader, [job.run for _, _, job in found if job.run])
    return [Row(host, now, job, runs.get(job.run)) for host, now, job in sorted(found, key=_order)]


def _listed(host: str, roots: Sequence[SlurmSettings]) -> list[tuple[str, float, Listed]]:
    from builder.launch.slurm.bastion import Bastion
    from builder.launch.slurm.survey import survey

    bastion = Bastion(roots[0], patience=_PATIENCE)
    try:
        now, jobs = survey(bastion, [slurm.root for slurm in roots])
    finally:
        bastion.close()
    return [(host, now, job) for job in jobs]


def _order(found: tuple[str, float, Listed]) -> tuple[Any, ...]:
    """This tool's first, then those that run, then the oldest."""
    host, _, job = found
    return (host, not job.run, job.is_waiting, job.submitted or 0.0, job.id)


def _runs(reader: Reader, names: Sequence[str]) -> dict[str, Seen]:
    """Those that the ledger knows, as they stand now."""
    from builder.data.threads import in_threads
    from builder.runs.history import Seen
    from builder.runs.reconcile import reconcile

    wanted = list(dict.fromkeys(names))
    records = in_threads(reader.ledger.read, wanted)
    seen = [Seen.of(name, found) for name, found in zip(wanted, records, strict=True) if found]
    return {run.run: run for run in reconcile(seen, reader.connect, output.warn)}


def _table(rows: Sequence[Row]) -> None:
    several = len({row.cluster for row in rows}) > 1
    headers = ("CLUSTER", "JOB", "USER", "RUN", "STEP", "TRY", "JOB STATE", "NODES", "GPUS", "TIME", "RUN STATE", "WHO", "WHY")
    start = 0 if several else 1
    output.table(headers[start:], [_cells(row)[start:] for row in rows], right=("TRY", "GPUS"))


def _cells(row: Row) -> tuple[str, ...]:
    job, run = row.job, row.run
    name = job.run or "".join(letter if letter.isprintable() else "?" for letter in job.name)
    state = (run.state if run else "no run") if job.run else "none of ours"
    attempt, gpus = str(job.attempt or ""), str(job.gpus or "")
    who, where = run.who if run else "", job.nodes or (str(job.count) if job.count else "")
    return (row.cluster, job.id, job.user, name, job.step, attempt, job.state, where, gpus, _time(row), state, who, _why(row))


def _time(row: Row) -> str:
    """Since it runs, or since it waits."""
    from builder.model import units

    since = row.job.submitted if row.job.is_waiting else row.job.starts
    return units.age(max(0.0, row.now - since)) if since is not None else ""


def _why(row: Row) -> str:
    from builder.model import units

    job = row.job
    if not job.is_waiting:
        return ""
    starts = f", starts in {units.age(job.starts - row.now)}" if job.starts is not None and job.starts > row.now else ""
    return f"{job.reason}{starts}".removeprefix(", ")


def as_json(row: Row) -> Mapping[str, Any]:
    """The documented form (docs/reference/json.md)."""
    job, run = row.job, row.run
    own = {"run": job.run, "step": job.step, "attempt": job.attempt, "known": run is not None}
    known = {"flow": run.flow, "commit": run.commit, "who": run.who, "run_state": run.state} if run else {}
    return {
        "cluster": row.cluster,
        "job": job.id,
        "name": job.name,
        "user": job.user,
        "partition": job.partition,
        "state": job.state,
        "reason": job.reason,
        "nodes": job.nodes,
        "count": job.count,
        "gpus": job.gpus,
        "submitted": _clock(job.submitted),
        "starts": _clock(job.starts),
        **own,
        **{name: known.get(name, "") for name in ("flow", "commit", "who", "run_state")},
    }


def _clock(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
