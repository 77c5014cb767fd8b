"""What Argo starts at the end of a workflow, however it ended (builder/deploy/ended.py begins it).

What died before it could say why (out of memory, an image that cannot be pulled, a node that went away) is known to Argo alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from builder.data.ledger import EXIT, now, seconds_of
from builder.steps import begin, failures, notices, own
from builder.steps.failures import Reason
from builder.steps.links import links_of
from builder.steps.outcome import failed_step, result_of
from builder.steps.perform import Failure
from builder.steps.request import Request, task_of
from builder.steps.root import ledger_of, objects_of
from builder.steps.slurm_jobs import cancel_jobs
from builder.steps.stopping import stopped_by

_STATES = {"Succeeded": "succeeded", "Failed": "failed", "Error": "failed"}


def main(environ: Mapping[str, str], reason: Reason = lambda _: "") -> None:
    """Writes down the run's end, and tells it. `reason` says what kept a pod from starting."""
    request = task_of(environ["BUILDER_REQUEST"], environ["BUILDER_RUN"], 0).request
    said, status = failures.parse(environ.get("BUILDER_FAILURES", "")), environ["BUILDER_STATUS"]
    state = "stopped" if failures.was_stopped(status, said) else _STATES.get(status, "failed")
    if request.in_force and state == "succeeded":
        return  # a look of many that nobody need remember
    if request.settings.file:
        own.finish(request, begin.run_in(request, environ), state, deaths(request, said, reason))
    record: dict[str, Any] = {"flow": request.flow, "commit": request.commit, "links": links_of(request), "state": state}
    record |= {"started": environ["BUILDER_STARTED"], "ended": now()}
    if state != "succeeded":
        record |= _why(request, state, status, said, reason)
    if state == "stopped":
        record |= stopped_by(objects_of(request), request.run)
    if state != "succeeded" and (left := cancel_jobs(request)):
        record["hint"] = left
    ledger_of(request).write(request.run, EXIT, record)
    tell(request, record)


def _why(request: Request, state: str, status: str, said: Sequence[Mapping[str, Any]], reason: Reason) -> dict[str, str]:
    """What a step wrote down of its failure is better than what Argo saw of it."""
    records = ledger_of(request).read(request.run)
    first = failed_step(records)
    if first and state != "stopped":
        return {"at": first, **{name: str(records[first].get(name, "")) for name in ("end", "error", "hint")}}
    death = failures.death_of(request, status, said, records, reason)
    return {"at": death.step, "end": death.end, "error": death.error, "hint": death.hint}


def deaths(request: Request, said: Sequence[Mapping[str, Any]], reason: Reason) -> dict[str, Failure]:
    """By step of a team's own flow. Argo's names have no underscores, Metaflow's no hyphens."""
    records = ledger_of(request).read(request.run)
    found = (failures.death_of(request, "Failed", [failure], records, reason) for failure in failures.direct(said))
    return {
        death.step.replace("-", "_"): Failure(death.end, death.error.removeprefix(f"{request.run}: step {death.step} failed: "), death.hint)
        for death in found
    }


def tell(request: Request, record: Mapping[str, Any]) -> None:
    """Of the run's report, or of how far it came."""
    records = ledger_of(request).read(request.run)
    result = result_of(request.run, records)
    took = seconds_of(record["ended"]) - seconds_of(record["started"])
    told = replace(result, commit=request.commit, links={**links_of(request), **result.links}, seconds=result.seconds or took)
    notices.of_end(request, told, records)
