"""Links from a run to other tools, by the templates of the settings."""

from __future__ import annotations

from builder.steps.request import Request

_ARGO = ("{workflow}", "{namespace}")


def links_of(request: Request) -> dict[str, str]:
    """Name to URL. On Argo the run's name is its workflow's; elsewhere there is none, and no link that needs one."""
    on_argo = request.on == "argo"
    values = {"run": request.run, "flow": request.flow, "commit": request.commit, "workflow": request.run, "namespace": request.namespace}
    wanted = {name: template for name, template in request.links.items() if on_argo or not any(word in template for word in _ARGO)}
    return {name: _filled(template, values) for name, template in wanted.items()}


def _filled(template: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template
