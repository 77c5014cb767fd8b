"""What Argo starts at the end of a workflow, however it ended: `python -m builder.steps.exit`.

What died before it could say why (out of memory, an image that cannot be pulled, a node that went away) is known to Argo alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from builder.data.ledger import EXIT, RUN, now
from builder.model.run import RunResult
from builder.steps import begin, notices, own
from builder.steps.links import links_of
from builder.steps.perform import Failure
from builder.steps.request import Request, Task, task_of
from builder.steps.root import ledger_of

_STATES = {"Succeeded": "succeeded", "Failed": "failed", "Error": "failed"}


def main(environ: Mapping[str, str]) -> None:
    task = task_of(environ["BUILDER_REQUEST"], environ["BUILDER_RUN"], 0)
    failures = parse_failures(environ.get("BUILDER_FAILURES", ""))
    if task.request.settings.file:
        run = begin.run_in(task.request, environ)
        own.finish(task.request, run, state_of(environ["BUILDER_STATUS"], failures), dict(map(_said, failures)))
    record = ending(task, environ["BUILDER_STATUS"], failures, environ["BUILDER_STARTED"])
    ledger_of(task.request).write(task.request.run, EXIT, record)
    notices.of_end(task.request, result_of(task.request, record), record.get("at", ""))


def ending(task: Task, status: str, failures: Sequence[Mapping[str, Any]], started: str) -> dict[str, Any]:
    """The record of the run's end. What a step wrote down of its failure is better than what Argo saw of it."""
    request = task.request
    state = state_of(status, failures)
    record: dict[str, Any] = {"flow": request.flow, "commit": request.commit, "state": state, "started": started, "ended": now()}
    if state == "succeeded":
        return record
    told = _told(request)
    died = [failure for failure in failures if failure.get("type", "Pod") == "Pod" or failure.get("podName")] or list(failures)
    error = told.get("error") or "; ".join(dict.fromkeys(explain(failure) for failure in died)) or f"Argo ended the workflow: {status}"
    step = told.get("step") or next((str(failure["templateName"]) for failure in died if failure.get("templateName")), "")
    return {**record, "error": error, "hint": told.get("hint", ""), "end": told.get("end") or end_of(died), "at": step}


def state_of(status: str, failures: Sequence[Mapping[str, Any]]) -> str:
    """Argo calls failed what somebody stopped."""
    state = _STATES.get(status, "failed")
    ended = any("shutdown" in str(failure.get("message", "")) or "terminated" in str(failure.get("message", "")) for failure in failures)
    return "stopped" if state == "failed" and ended else state


def result_of(request: Request, record: Mapping[str, Any]) -> RunResult:
    """What people are told of the run: its report, or how far it came."""
    import msgspec

    if record["state"] == "succeeded" and (kept := ledger_of(request).read(request.run).get("end", {}).get("result")):
        return msgspec.convert(kept, RunResult)
    result = RunResult(request.run, request.flow, request.commit, request.reference, record["state"], links=links_of(request))
    return replace(result, error=record.get("error", ""), hint=record.get("hint", ""), seconds=_took(record))


def _took(record: Mapping[str, Any]) -> float:
    began, ended = (datetime.fromisoformat(record[name].replace("Z", "+00:00")) for name in ("started", "ended"))
    return (ended - began).total_seconds()


def _told(request: Request) -> Mapping[str, Any]:
    """The record of the step that failed first, if one could write it."""
    records = ledger_of(request).read(request.run)
    failed = [record for step, record in records.items() if step not in (EXIT, RUN) and record["state"] == "failed"]
    return min(failed, key=lambda record: str(record.get("ended")), default={})


def _said(failure: Mapping[str, Any]) -> tuple[str, Failure]:
    """The step, and what Argo saw of its end. Argo's names have no underscores, Metaflow's no hyphens."""
    return str(failure.get("templateName", "")).replace("-", "_"), Failure(end_of([failure]), explain(failure))


def explain(failure: Mapping[str, Any]) -> str:
    """`evaluate(0:click): OOMKilled (exit code 137)`."""
    return f"{failure.get('displayName', '?')}: {failure.get('message') or failure.get('phase', 'failed')}"


def end_of(failures: Sequence[Mapping[str, Any]]) -> str:
    said = " ".join(str(failure.get("message", "")) for failure in failures)
    if "OOMKilled" in said:
        return "memory"
    return "timeout" if "deadline" in said else "lost" if "deleted" in said or "Pull" in said else "failed"


def parse_failures(text: str) -> list[dict[str, Any]]:
    """Argo's `workflow.failures`: a JSON list, inside a JSON string in some versions; where nothing failed it is left as it stands.

    https://argo-workflows.readthedocs.io/en/release-3.7/variables/#exit-handler
    """
    if not text or text.startswith("{{"):
        return []
    try:
        found = json.loads(text)
        found = json.loads(found) if isinstance(found, str) else found
    except ValueError:
        return [{"displayName": "workflow", "message": text[:500]}]
    return [failure for failure in found or [] if isinstance(failure, dict)]


if __name__ == "__main__":
    main(os.environ)
