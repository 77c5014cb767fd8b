"""Starts what a step on Argo asks for, from the step's own pod: with the account of steps, which may start runs and make no templates.

A run of a template that is there is created at once. Every other one is left to the starter (`builder.deploy.starter`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from builder.cluster.interface import Cluster
from builder.cluster.kubernetes import connect
from builder.data.ledger import RUN, Ledger
from builder.deploy.apply import is_fresh
from builder.deploy.arguments import arguments_of
from builder.deploy.render import released_request
from builder.deploy.starter import starter_workflow
from builder.errors import LaunchError, UsageError
from builder.runs.argo import create_run
from builder.runs.children import STARTING, announce
from builder.runs.prepare import Overrides, chosen_evals, words_for
from builder.steps import request as requests
from builder.steps.config import load, read_file
from builder.steps.outbox import is_same
from builder.steps.request import Request, Start, Task
from builder.steps.root import ledger_of

_OWN_TEMPLATE = "ARGO_WORKFLOW_TEMPLATE"
"""Metaflow's variable in every pod of a step."""


def task_of(packed: str, run_id: str, attempt: int) -> Task:
    """The task that a step of a built-in flow does, with what starts other runs from there."""
    task = requests.task_of(packed, run_id, attempt)
    return replace(task, starter=OnArgo()) if task.request.on == "argo" else task


class OnArgo:
    """`cluster` is the pod's own, unless another one is given."""

    def __init__(self, cluster: Cluster | None = None) -> None:
        self._cluster = cluster

    def prepare(self, request: Request, start: Start) -> Callable[[], object]:
        if start.on not in ("", "argo"):
            raise UsageError(f"a run on Argo cannot start one on {start.on}", 'leave out "on"')
        cluster = self._cluster = self._cluster or connect(request.namespace)
        template = find_template(cluster, request, start.flow) if is_same(start, request.commit) else None
        if template is None:
            return partial(_start_elsewhere, cluster, ledger_of(request), start, _starter(cluster, request, start))
        child = child_request(request, start, template)
        return partial(_start_here, cluster, child, template, arguments_of(template, child))


def find_template(cluster: Cluster, request: Request, flow: str) -> dict[str, Any] | None:
    """The template of a flow at the commit of the run that asks, with the same image; its own if it is that, else the newest."""
    digest = request.reference.rpartition("@sha256:")[2]
    labels = {"builder/flow": flow, "builder/commit": request.commit, "builder/digest": digest[:16]}
    own = os.environ.get(_OWN_TEMPLATE, "")

    def rank(found: Mapping[str, Any]) -> tuple[bool, str]:
        return found["metadata"]["name"] == own, found["metadata"]["creationTimestamp"]

    return max(cluster.list("workflowtemplates", labels), key=rank, default=None)


def child_request(request: Request, start: Start, template: Mapping[str, Any]) -> Request:
    """What the template's steps are told for this run. Raises SettingsError, UsageError where its flow does not take the words."""
    released = released_request(template)
    settings, asked = released.settings, Overrides(start.overrides, start.evals)
    child = replace(released, run=start.run, overrides=words_for(settings, asked), origin=start.origin, initial=start.initial)
    if settings.file:
        return child
    if child.overrides:
        load(child.config, partial(read_file, Path(request.place.workdir)), child.overrides, settings.defaults, settings.schema)
    return replace(child, evals=chosen_evals(start.flow, settings, start.evals))


def _start_here(cluster: Cluster, child: Request, template: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Nothing when the run is known to have been started: its workflow may have been cleaned up since."""
    known = ledger_of(child).read(child.run).get(RUN, {}).get("state")
    if known in (None, STARTING, "submitting", "failed"):
        create_run(cluster, child, template, arguments, fresh=is_fresh(template))


def _starter(cluster: Cluster, request: Request, start: Start) -> dict[str, Any]:
    """The template of what starts it. Raises LaunchError when there is none."""
    what = f"[flow.{start.flow}] at {start.rev}" if not is_same(start, request.commit) else f"a template of {start.flow} at this commit"
    if not request.starter:
        hint = "set [deploy] git_secret, from which a starter reads the repository; or `builder deploy` the flow's template"
        raise LaunchError(f"{what} is nothing that the account of steps can start", hint)
    template = cluster.get("workflowtemplates", request.starter)
    if template is None:
        raise LaunchError(f"workflowtemplate {request.starter}, which starts {what}, is gone", "run or deploy this commit again")
    return template


def _start_elsewhere(cluster: Cluster, ledger: Ledger, start: Start, template: Mapping[str, Any]) -> None:
    announce(ledger, start, {"on": "argo", "namespace": cluster.namespace, "starter": f"start-{start.run}"})
    if ledger.read(start.run)[RUN]["state"] == STARTING:
        cluster.create(starter_workflow(template, start.run, start.pack(), fresh=is_fresh(template)))
