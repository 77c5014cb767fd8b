"""The template of what starts runs at other revisions: a pod of the commit's image that clones the repository and types `builder run`.

It alone runs under the account that may create templates. The secret with which the repository is read is given to it, and to housekeep.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from builder.deploy.isolate import check_pinned, for_built_in, isolated
from builder.deploy.pods import retry_strategy
from builder.deploy.render import API
from builder.model.oci import canonical_json, sha256
from builder.settings import DeploySettings, ErrorSettings, Settings, StoreSettings, seconds
from builder.settings.dump import to_toml
from builder.source.clone import TOKEN
from builder.steps.request import Request

START = "start"
"""The workflow's parameter: what to start, packed."""

ASKED, COMMIT, SETTINGS, STATUS = "BUILDER_START", "BUILDER_COMMIT", "BUILDER_SETTINGS", "BUILDER_STATUS"
URL = "BUILDER_GIT_URL"
"""Variables of the pod: what to start, the commit of the run that asks, the settings in base64, how the workflow ended; the repository."""
MODULE = "builder.cli.elsewhere"
PART = {"builder/part": "starter"}

_WORK, _ENDED = "start", "ended"
_RESOURCES = {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}
_LIMIT = 3600  # seconds: a clone of a big repository, and the images of a commit
_AGAIN = ErrorSettings(retry=2)


def starter_template(request: Request, settings: Settings, workdir: str) -> dict[str, Any] | None:
    """The WorkflowTemplate, named after what it holds; None where [deploy] git_secret names no secret.

    `request` is of the commit whose image starts others; `settings` are those in force: they hold for what is started, too.
    """
    deploy = settings.deploy
    if not deploy.git_secret:
        return None
    text = base64.b64encode(portable(settings).encode()).decode()  # nothing in them is secret, but Argo reads `{{` in what it is given
    around = for_built_in(workdir)
    spec = {
        "serviceAccountName": deploy.starter,
        "entrypoint": _WORK,
        "onExit": _ENDED,
        "arguments": {"parameters": [{"name": START, "value": ""}]},
        "ttlStrategy": {"secondsAfterSuccess": seconds(deploy.keep_succeeded), "secondsAfterFailure": seconds(deploy.keep_failed)},
        "podMetadata": {"labels": {**PART, "builder/commit": request.commit}},
        "templates": [
            isolated(_pod(_WORK, request, deploy, text, git_variables(deploy), []), around),
            isolated(_pod(_ENDED, request, deploy, text, [], [{"name": STATUS, "value": "{{workflow.status}}"}]), around),
        ],
    }
    if deploy.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in deploy.pull_secrets]
    metadata = {
        "namespace": deploy.namespace,
        "labels": {**PART, "builder/commit": request.commit},
        "annotations": {"builder/reference": request.reference},
    }
    manifest = {"apiVersion": API, "kind": "WorkflowTemplate", "metadata": metadata, "spec": spec}
    check_pinned(manifest, request.reference)
    name = f"builder-start-{request.commit[:12]}-{sha256(canonical_json(manifest))[7:15]}"
    return {**manifest, "metadata": {**metadata, "name": name}}


def starter_workflow(template: Mapping[str, Any], run: str, start: str, *, fresh: bool) -> dict[str, Any]:
    """What starts the run `run`. One name for each: it is started once. `start` is packed."""
    name = template["metadata"]["name"]
    metadata = {
        "name": f"start-{run}",
        "namespace": template["metadata"]["namespace"],
        "labels": {**PART, "builder/starts": run, "workflows.argoproj.io/workflow-template": name},
    }
    spec = template["spec"] if fresh else {"workflowTemplateRef": {"name": name}}
    arguments = {"parameters": [{"name": START, "value": start}]}
    return {"apiVersion": API, "kind": "Workflow", "metadata": metadata, "spec": {**spec, "arguments": arguments}}


def _pod(
    name: str, request: Request, deploy: DeploySettings, settings: str, git: list[dict[str, Any]], more: list[dict[str, Any]]
) -> dict[str, Any]:
    values = {ASKED: f"{{{{workflow.parameters.{START}}}}}", COMMIT: request.commit, SETTINGS: settings}
    container = {
        "name": "main",
        "image": request.reference,
        "command": ["python", "-m", MODULE],
        "resources": _RESOURCES,
        "env": [*({"name": key, "value": value} for key, value in values.items()), *git, *more],
        "envFrom": [{"secretRef": {"name": secret}} for secret in deploy.secrets],
    }
    template = {"name": name, "serviceAccountName": deploy.starter, "container": container, "activeDeadlineSeconds": _LIMIT}
    if name == _WORK:
        template["retryStrategy"] = retry_strategy(_AGAIN, goes_on=False)
    return with_registry(template, deploy.pull_secrets)


def git_variables(deploy: DeploySettings, *, needed: bool = True) -> list[dict[str, Any]]:
    """With which the repository is read. A pod begins without the secret only where it is not `needed`."""

    def key(variable: str, name: str, *, optional: bool) -> dict[str, Any]:
        source = {"secretKeyRef": {"name": deploy.git_secret, "key": name, "optional": optional}}
        return {"name": variable, "valueFrom": source}

    return [key(URL, "url", optional=not needed), key(TOKEN, "token", optional=True)]


def with_registry(template: Mapping[str, Any], pull_secrets: tuple[str, ...]) -> dict[str, Any]:
    """With the credentials with which nodes pull it can push, too, if they may. Docker's clients, and this one, read them there."""
    if not pull_secrets:
        return dict(template)
    place, name = "/builder-registry", "builder-registry"
    items = [{"key": ".dockerconfigjson", "path": "config.json"}]
    container = template["container"]
    mounted = {
        **container,
        "volumeMounts": [*(container.get("volumeMounts") or ()), {"name": name, "mountPath": place, "readOnly": True}],
        "env": [*(container.get("env") or ()), {"name": "DOCKER_CONFIG", "value": place}],
    }
    volume = {"name": name, "secret": {"secretName": pull_secrets[0], "items": items, "optional": True}}
    return {**template, "container": mounted, "volumes": [*(template.get("volumes") or ()), volume]}


def portable(settings: Settings) -> str:
    """The settings in force as a pod has them, as TOML.

    A pod knows the registry by the name under which nodes pull from it, and the cluster as its own.
    """
    store = StoreSettings(to=settings.store.pull or settings.store.target, insecure=settings.store.insecure)
    return to_toml(replace(settings, store=store, deploy=replace(settings.deploy, context="")))
