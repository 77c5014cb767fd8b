"""Links from a run to other tools, by the templates of the settings."""

from __future__ import annotations

from builder.steps.request import Request


def links_of(request: Request) -> dict[str, str]:
    """Name to URL. On Argo the run's name is its workflow's."""
    values = {"run": request.run, "flow": request.flow, "commit": request.commit, "workflow": request.run, "namespace": request.namespace}
    return {name: _filled(template, values) for name, template in request.links.items()}


def _filled(template: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template
