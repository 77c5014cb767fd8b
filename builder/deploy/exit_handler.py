"""The template that Argo runs at the end of every workflow, however it ends: it writes the end into the ledger and tells people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from builder.deploy.isolate import for_built_in, isolated
from builder.settings import seconds

if TYPE_CHECKING:
    from builder.deploy.render import Release

EXIT = "builder-exit"
_RESOURCES = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}


def exit_template(release: Release) -> dict[str, Any]:
    """What Argo knows of the end comes as variables."""
    from builder.deploy.render import with_secret

    values = {
        **told(release),
        "BUILDER_STATUS": "{{workflow.status}}",
        "BUILDER_FAILURES": "{{workflow.failures}}",
        "BUILDER_STARTED": "{{workflow.creationTimestamp}}",
    }
    endpoint = release.request.data.endpoint
    container = {
        "name": "main",
        "image": release.handler or release.request.reference,
        "command": ["sh", "-c", _commands(release)],
        "resources": _RESOURCES,
        "env": [{"name": name, "value": value} for name, value in {**values, "AWS_ENDPOINT_URL_S3": endpoint}.items() if value],
        "envFrom": [{"secretRef": {"name": name}} for name in release.deploy.secrets],
    }
    limit = seconds(release.deploy.pending_timeout)
    template = {"name": EXIT, "serviceAccountName": release.deploy.account, "container": container, "activeDeadlineSeconds": limit}
    return with_secret(isolated(template, for_built_in(release.workdir)), release.request.notify.secret)


def _commands(release: Release) -> str:
    """A handler that fails would make a good run a failed one."""
    chained = "; python -m builder.runs.chained" if release.request.then or release.request.settings.file else ""
    return f"python -m builder.deploy.ended{chained} || true"


def told(release: Release) -> dict[str, str]:
    """From which a process of the tool's knows the run that it belongs to."""
    from builder.deploy.render import parameter_of

    request = f"{{{{workflow.parameters.{parameter_of(release.request)}}}}}"
    found = {"BUILDER_REQUEST": request, "BUILDER_RUN": "{{workflow.name}}"}
    return {**found, "BUILDER_FLOW_CLASS": release.flow_class} if release.request.settings.file else found
