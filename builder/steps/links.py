"""Links from a run, and from its steps, to other tools, by the templates of the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from builder.steps.request import Request

_WORD = re.compile(r"\{\w+\}")
_ARGO = ("workflow", "namespace")


def links_of(request: Request, step: str = "", job: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Name to URL; of a step, and of its job in Slurm where it has one. A link that needs what there is not is left out: on Argo the
    run's name is its workflow's, elsewhere there is none.
    """
    values = {"run": request.run, "flow": request.flow, "commit": request.commit, "step": step}
    values |= dict(zip(_ARGO, (request.run, request.namespace), strict=True)) if request.on == "argo" else {}
    values |= {"job": str(job["id"]), "job_name": str(job["name"]), "job_log": str(job["log"])} if job else {}
    known = {f"{{{name}}}": value for name, value in values.items() if value}
    filled = {name: _filled(template, known) for name, template in request.links.items()}
    return {name: url for name, url in filled.items() if not _WORD.search(url)}


def _filled(template: str, values: Mapping[str, str]) -> str:
    return _WORD.sub(lambda word: values.get(word[0], word[0]), template)
