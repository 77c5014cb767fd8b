"""Starts a request on Argo, and follows it: the template is created or found, the run is a Workflow under the run's name."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from builder.cluster.interface import Cluster
from builder.data.ledger import EXIT, RUN, Ledger, now
from builder.deploy.apply import Applied, digest_of, ensure_queue, ensure_template, workflow
from builder.deploy.arguments import arguments_of
from builder.errors import ClusterError
from builder.model.run import RunResult
from builder.runs.history import Seen
from builder.runs.supervise import Tell
from builder.settings import QueueSettings
from builder.steps.config import about
from builder.steps.explain import seconds_of_run
from builder.steps.outcome import result_of
from builder.steps.request import Request
from builder.steps.request_file import keep_request
from builder.steps.root import ledger_of

_LOOK_EVERY = 2.0  # seconds


def submit(
    cluster: Cluster, request: Request, template: Mapping[str, Any], queue: QueueSettings, others: Sequence[Mapping[str, Any]] = ()
) -> list[Applied]:
    """Creates the Workflow, and whatever of its template and queue is missing; writes the run into the ledger first.

    `others` are templates that the run may need to start other runs. What was created and what was there already. Raises ClusterError,
    AuthError, DeployError; then the ledger says that it failed. Before that UsageError, for a parameter that a team's own flow does not
    have.
    """
    arguments = arguments_of(template, request)
    done: list[Applied] = []

    def create() -> bool:
        done.extend(ensure_template(cluster, other)[0] for other in others)
        made, fresh = ensure_template(cluster, template)
        done.extend([made, *filter(None, [ensure_queue(cluster, request.flow, queue)])])
        return cluster.create(_workflow(request, template, arguments, fresh=fresh))

    created = _written_down(cluster, request, template, create)
    return [*done, Applied("run", request.run, "created" if created else "found")]


def create_run(cluster: Cluster, request: Request, template: Mapping[str, Any], arguments: Mapping[str, Any], *, fresh: bool) -> None:
    """Creates the Workflow of a template that is there, unless that was done before; as `submit` otherwise."""
    _written_down(cluster, request, template, lambda: cluster.create(_workflow(request, template, arguments, fresh=fresh)))


def _written_down(cluster: Cluster, request: Request, template: Mapping[str, Any], create: Callable[[], bool]) -> bool:
    """Creates, and writes the run into the ledger before and after."""
    ledger, name = ledger_of(request), template["metadata"]["name"]
    record = {**about(request), "commit": request.commit, "started": now(), "template": name, "namespace": cluster.namespace}
    keep_request(request)
    ledger.write(request.run, RUN, {**record, "state": "submitting"})
    try:
        created = create()
    except BaseException as error:
        why = {"error": str(error), "hint": getattr(error, "hint", "")}
        ledger.write(request.run, RUN, {**record, "state": "failed", "ended": now(), **why})
        raise
    ledger.write(request.run, RUN, {**record, "state": "submitted"})
    return created


def template_that_ran(cluster: Cluster, seen: Seen) -> dict[str, Any] | None:
    """The template of a run, as an object to create; None when it is gone. A nightly has no starter that wrote down its name."""
    name = seen.records.get(RUN, {}).get("template")
    if not name:
        there = cluster.get("workflows", seen.run) or {}
        name = ((there.get("spec") or {}).get("workflowTemplateRef") or {}).get("name")
    found = cluster.get("workflowtemplates", str(name)) if name else None
    if found is None or digest_of(found) != seen.reference:
        return None
    kept = {key: found["metadata"][key] for key in ("name", "namespace", "labels", "annotations") if key in found["metadata"]}
    return {**found, "metadata": kept}


def _workflow(request: Request, template: Mapping[str, Any], arguments: Mapping[str, Any], *, fresh: bool) -> dict[str, Any]:
    annotations = {"builder/who": request.origin.who, "builder/subject": request.subject}
    if request.origin.parent:
        annotations["builder/parent"] = request.origin.parent
    return workflow(template, request.run, arguments, annotations, fresh=fresh)


def follow(cluster: Cluster, request: Request, tell: Tell, waiting: Callable[[str], None]) -> RunResult:
    """Watches the run to its end: steps by the ledger, the rest by what Argo says. `waiting` is told for what it waits."""
    ledger, said = ledger_of(request), ""
    while True:
        records = ledger.read(request.run)
        for step, record in records.items():
            if step not in (RUN, EXIT):
                tell(step, record)
        status = workflow_status(cluster, request.run)
        message = str(status.get("message", ""))
        if message != said:
            said = message
            waiting(message)
        if status.get("phase") in ("Succeeded", "Failed", "Error"):
            return _ended(ledger, request.run, status)
        time.sleep(_LOOK_EVERY)


def workflow_status(cluster: Cluster, run: str) -> dict[str, Any]:
    """Raises ClusterError when the workflow is not there."""
    found = cluster.get("workflows", run)
    if found is None:
        raise ClusterError(
            f"workflow {run} is not in namespace {cluster.namespace}", "somebody deleted it; `builder show` has what it wrote"
        )
    status: dict[str, Any] = found.get("status") or {}
    return status


def _ended(ledger: Ledger, run: str, status: Mapping[str, Any]) -> RunResult:
    """Argo says that it is over, and the exit handler has written why."""
    records = ledger.read(run)
    result = result_of(run, records)
    result = replace(result, seconds=seconds_of_run(records) or result.seconds)
    if status["phase"] == "Succeeded" or result.state in ("failed", "stopped"):
        return result
    return replace(result, state="failed", error=result.error or f"{run}: {status.get('message', 'Argo gives no reason')}")
