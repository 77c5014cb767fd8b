"""What one run of a template is told: the request, and the parameters of a team's own flow."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from builder.deploy.render import parameter_of
from builder.errors import UsageError
from builder.steps.request import Request

_READ_BY_A_SHELL = ("$", "`")


def arguments_of(template: Mapping[str, Any], request: Request) -> dict[str, Any]:
    """A workflow's `arguments`: the template's own, with what the request says in their place.

    Raises UsageError for a key=value that is no parameter of the team's own flow.
    """
    known = template["spec"]["arguments"]["parameters"]
    values = {parameter_of(request): request.pack()}
    if request.settings.file:
        values |= _own(request.flow, request.overrides, [parameter["name"] for parameter in known if parameter["name"] not in values])
    return {"parameters": [{**parameter, "value": values.get(parameter["name"], parameter.get("value"))} for parameter in known]}


def _own(flow: str, words: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """As JSON: that is how Metaflow gives them to itself."""
    found = dict(word.partition("=")[::2] for word in words)
    for name, value in found.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else ""
            raise UsageError(f"{name}: {flow} has no such parameter; it has {', '.join(known) or 'none'}", hint)
        if any(character in value for character in _READ_BY_A_SHELL):
            # Metaflow writes `export METAFLOW_INIT_NAME="..."` (plugins/argo/set_parameters.py)
            raise UsageError(f"{name}: Metaflow hands parameters through a shell on Argo, which would read {value!r}", "without $ and `")
    return {name: json.dumps(value) for name, value in found.items()}
