"""From a compiled flow to the WorkflowTemplate of one commit: filled in, isolated, pinned, named after what it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from builder.deploy import names, pods
from builder.deploy.compile import IMAGE, NAME, RETRIES, TOKEN
from builder.deploy.exit_handler import EXIT, exit_template
from builder.deploy.isolate import Surroundings, check_pinned, isolated
from builder.deploy.own_step import own_step, refuse_gang
from builder.model.oci import canonical_json, sha256
from builder.settings import DeploySettings, ExternalSettings, QueueSettings, seconds
from builder.steps.perform import rule_for
from builder.steps.request import Request

API = "argoproj.io/v1alpha1"
QUEUES = "builder-queues"
"""The config map that says how many runs of a flow go on at once: a key for every flow."""

REQUEST, OWN_REQUEST = "request", "builder-request"
"""Parameters of a workflow that carry the request."""

FIRST_STEP = "start"
"""Of every flow; a built-in one does nothing there that takes long."""

_MAY_GO_ON = "evaluate"
"""The step without which a run can go on."""


@dataclass(frozen=True, slots=True)
class Release:
    """A commit's flow as it goes to a cluster. `request` has no run; `date` is the commit's, in seconds since 1970.

    `flow_class` is what Metaflow calls the flow; filled in from what was compiled.
    `handler` is the image of what Argo starts at the end of a run; the commit's own when empty.
    """

    request: Request
    date: int
    deploy: DeploySettings
    queue: QueueSettings
    around: Surroundings
    handler: str = ""
    flow_class: str = ""

    @property
    def workdir(self) -> str:
        return self.around.workdir


def render(compiled: Mapping[str, Any], release: Release) -> dict[str, Any]:
    """The WorkflowTemplate, named `<flow>-<sha12>-<h8>`. The same commit, settings and tool give the same bytes.

    Raises DeployError when a container would run anything but the commit's image.
    """
    text = json.dumps(compiled).replace(IMAGE, release.request.reference).replace(TOKEN, names.token(release.request.flow))
    filled = json.loads(text)
    release = replace(release, flow_class=filled["metadata"]["annotations"].get("metaflow/flow_name", ""))
    spec = {
        **filled["spec"],
        "templates": [*(_step(part, release) for part in filled["spec"]["templates"]), exit_template(release)],
        "arguments": {"parameters": _parameters(filled["spec"], release.request)},
        **_rules(release),
    }
    spec["workflowMetadata"] = _marked(spec["workflowMetadata"], release)
    spec["podMetadata"] = _queued(_marked(spec["podMetadata"], release), release.queue)
    metadata = {**_marked(filled["metadata"], release), "name": NAME, "namespace": release.deploy.namespace}
    metadata["annotations"]["builder/subject"] = release.request.subject  # not inside the spec: Argo would read `{{` in it
    manifest = {"apiVersion": API, "kind": "WorkflowTemplate", "metadata": metadata, "spec": spec}
    check_pinned(manifest, release.request.reference, {EXIT: release.handler or release.request.reference})
    return _named(_without_nulls(manifest), release.request)


def _named(manifest: Mapping[str, Any], request: Request) -> dict[str, Any]:
    """The hash is that of everything but the name, which stands in commands, too."""
    name = names.template_name(request.flow, request.commit, sha256(canonical_json(manifest))[7:15])
    named: dict[str, Any] = json.loads(json.dumps(manifest).replace(NAME, name))
    return named


def parameter_of(request: Request) -> str:
    """The workflow's parameter that carries the request: of a team's own flow one that no parameter of Metaflow's can be called."""
    return OWN_REQUEST if request.settings.file else REQUEST


def released_request(template: Mapping[str, Any]) -> Request:
    """The request that a template holds."""
    values = {found["name"]: found.get("value", "") for found in template["spec"]["arguments"]["parameters"]}
    return Request.unpack(values[OWN_REQUEST] if OWN_REQUEST in values else values[REQUEST])


def _parameters(spec: Mapping[str, Any], request: Request) -> list[dict[str, Any]]:
    """The request, and what a team's own flow takes, with its defaults."""
    own = list(spec["arguments"].get("parameters") or ()) if request.settings.file else []
    return [*own, {"name": parameter_of(request), "value": request.pack()}]


def _step(template: Mapping[str, Any], release: Release) -> dict[str, Any]:
    refuse_gang(template)
    if "container" not in template:
        return dict(template)
    if release.request.settings.file:
        return own_step(template, release)
    step = template["name"]
    template = _with_what_the_page_reads(template, release)
    rule = rule_for(release.request.settings, step)
    goes_on = step == _MAY_GO_ON and (rule.otherwise == "continue" or rule.fallback is not None)
    asked = pods.with_pod(isolated(template, release.around), pods.waiting_pod(release.request.launching(step)))
    at_least = RETRIES if _only_waits(release.request, step) else 0
    retry = {"retryStrategy": pods.retry_strategy(rule, goes_on=goes_on, at_least=at_least)}
    limit = pods.start_limit(release.deploy) if step == FIRST_STEP and not release.request.settings.file else {}
    return with_secret({**asked, **retry, **limit}, release.request.notify.secret)


def _with_what_the_page_reads(template: Mapping[str, Any], release: Release) -> Mapping[str, Any]:
    """Housekeep lists commits and images on a page: where the secrets are missing the page says so."""
    request, deploy = release.request, release.deploy
    if not request.in_force or request.kind != "housekeep":
        return template
    from builder.deploy.starter import git_variables, with_registry

    git = git_variables(deploy, needed=False) if deploy.git_secret else []
    container = {**template["container"], "env": [*(template["container"].get("env") or ()), *git]}
    return with_registry({**template, "container": container}, deploy.pull_secrets)


def _only_waits(request: Request, step: str) -> bool:
    """Whether somebody else does the work, or Slurm: another pod goes on waiting. The evaluations share one template."""
    evals = request.settings.evals
    names = [f"evaluate-{action}" for action in evals] if step == _MAY_GO_ON else [step]
    others = step == _MAY_GO_ON and any(isinstance(found, ExternalSettings) for found in evals.values())
    return others or any(request.launching(name).on in ("slurm", "jobset") for name in names)


def with_secret(template: Mapping[str, Any], secret: str) -> dict[str, Any]:
    """The keys of the secret, if one is named, as variables of the container. It may be missing: a message never stops a run."""
    if not secret:
        return dict(template)
    container = template["container"]
    source = {"secretRef": {"name": secret, "optional": True}}
    return {**template, "container": {**container, "envFrom": [*(container.get("envFrom") or []), source]}}


def _rules(release: Release) -> dict[str, Any]:
    """How long a workflow may take and stays, for what it waits, and who looks after its end."""
    deploy = release.deploy
    kept = {"secondsAfterSuccess": seconds(deploy.keep_succeeded), "secondsAfterFailure": seconds(deploy.keep_failed)}
    rules: dict[str, Any] = {"serviceAccountName": deploy.account, "onExit": EXIT, "ttlStrategy": kept}
    if deploy.timeout:
        rules["activeDeadlineSeconds"] = seconds(deploy.timeout)
    if deploy.pull_secrets:
        rules["imagePullSecrets"] = [{"name": name} for name in deploy.pull_secrets]
    if release.queue.at_once:
        selector = {"configMapKeyRef": {"name": QUEUES, "key": release.request.flow}}
        rules["synchronization"] = {"semaphores": [selector]}
    return rules


def _marked(metadata: Mapping[str, Any], release: Release) -> dict[str, Any]:
    """Labels are for finding (at most 63 characters), annotations say it in full."""
    request = release.request
    digest = request.reference.rpartition("@sha256:")[2]
    labels = {"builder/flow": request.flow, "builder/commit": request.commit, "builder/digest": digest[:16]}
    stamp = datetime.fromtimestamp(release.date, timezone.utc).isoformat()
    full = {
        "builder/reference": request.reference,
        "metaflow/deployment_timestamp": stamp,
        "metaflow/tags": json.dumps([f"commit:{request.commit}", f"digest:{digest}"]),
    }
    kept = {name: value for name, value in (metadata.get("annotations") or {}).items() if name != "metaflow/parameters"}
    return {"labels": {**(metadata.get("labels") or {}), **labels}, "annotations": {**kept, **full}}


def _queued(metadata: dict[str, Any], queue: QueueSettings) -> dict[str, Any]:
    if not queue.kueue:
        return metadata
    return {**metadata, "labels": {**metadata["labels"], "kueue.x-k8s.io/queue-name": queue.kueue}}


def _without_nulls(value: Any) -> Any:
    """The server leaves nulls out of what it keeps: without them what is kept and what was sent can be compared."""
    if isinstance(value, Mapping):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
