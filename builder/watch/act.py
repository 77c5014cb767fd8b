"""What watch puts right, because the law says who should have done it, and that one has not: nothing else is ended or written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from builder.data.ledger import EXIT, RUN, now
from builder.errors import BuilderError
from builder.launch.slurm.bastion import Bastion
from builder.launch.slurm.launcher import cancel_all
from builder.launch.slurm.survey import clusters
from builder.runs.history import OPEN, Seen
from builder.runs.sources import Sources
from builder.watch.facts import LEDGER
from builder.watch.findings import CANCEL, Cure, Finding

_PATIENCE = 20.0  # seconds for a bastion


def put_right(sources: Sources, found: Sequence[Cure], *, dry: bool) -> list[Finding]:
    """Does it, unless `dry`; what was done, or could not be, as findings."""
    return [_told(cure, *_tried(sources, cure, dry=dry)) for cure in found]


def _tried(sources: Sources, cure: Cure, *, dry: bool) -> tuple[bool, str]:
    """Whether there was something to do, and why that could not be done."""
    if dry:
        return True, ""
    try:
        return (_cancel(sources, cure) if cure.kind == CANCEL else _write_end(sources, cure)), ""
    except BuilderError as error:
        return False, error.message


def _told(cure: Cure, done: bool, error: str) -> Finding:
    key = f"cure:{cure.kind}:{cure.run}"
    if error:
        what = f"its jobs on {cure.bastion} could not be cancelled" if cure.kind == CANCEL else "its end could not be written"
        return Finding(f"{key}:failed", "zombie", cure.run, f"{what}: {error}", (cure.bastion or LEDGER,), lasting=False)
    if cure.kind == CANCEL:
        return Finding(key, "done", cure.run, f"its jobs on {cure.bastion} are cancelled: {cure.why}", (cure.bastion,), lasting=False)
    why = f": {cure.why.splitlines()[0][:200]}" if cure.why else ""
    text = (
        f"its end is written, which nobody did: {cure.state}{why}"
        if done
        else f"its end was to be written ({cure.state}), and need not be any more"
    )
    return Finding(key, "done", cure.run, text, (LEDGER,), lasting=False)


def _cancel(sources: Sources, cure: Cure) -> bool:
    """By the names of the run's attempts, and as the user of the settings: it is nobody else's."""
    for slurm in clusters(sources.settings).get(cure.bastion, []):
        bastion = Bastion(slurm, patience=_PATIENCE)
        try:
            cancel_all(bastion, cure.run)
        finally:
            bastion.close()
    return True


def _write_end(sources: Sources, cure: Cure) -> bool:
    """False when somebody wrote it since it was looked at. Of a run on Argo the handler's record is written, if there is none: law has one
    writer for each, and this one's ended without.
    """
    seen = Seen.of(cure.run, sources.ledger.read(cure.run))
    if seen.state not in OPEN:
        return False
    facts = {name: value for name in ("flow", "commit", "links") if (value := getattr(seen, name))}
    error = {} if cure.state == "succeeded" else {"error": _said(cure), "end": "lost" if cure.state == "lost" else "failed"}
    record: dict[str, Any] = {
        **facts,
        "state": cure.state,
        "started": seen.started or now(),
        "ended": now(),
        "written_by": "watch",
        **error,
    }
    if seen.on == "argo":
        if cure.state == "lost" and sources.connect().get("workflows", cure.run) is not None:
            return False
        return sources.ledger.write(cure.run, EXIT, record, new=True)
    return sources.ledger.write(cure.run, RUN, {**seen.records.get(RUN, {}), **record})


def _said(cure: Cure) -> str:
    if cure.state == "lost":
        return f"{cure.run} is lost: what executed it is gone, and nobody wrote its end"
    return f"{cure.run}: {cure.why or 'Argo gives no reason'}"
