"""The command line that does a run again, exactly, and nothing more than that needs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from builder.settings import Settings
from builder.steps.request import Request


def repeat(request: Request, settings: Settings) -> str:
    """What differs from the commit's own settings and from those in force is said; what does not is left out."""
    return " ".join(shlex.quote(word) for word in _words(request, settings))


def _words(request: Request, settings: Settings) -> Iterator[str]:
    flow = request.settings
    yield from ("builder", "run", f"{request.flow}@{request.commit[:12]}")
    yield from request.overrides
    if not flow.file and set(request.evals) != set(flow.evals):
        yield f"evals={','.join(request.evals)}"
    if request.config != flow.config:
        yield from ("--config", request.config)
    if request.initial:
        yield from ("--initial", request.initial)
    if request.on != settings.run.on:
        yield from ("--on", request.on)
    for step, launch in request.launch.items():
        now = settings.launch.get(step) or settings.launch.get("default")
        if launch.on != (now.on if now else "here"):
            yield from ("--place", f"{step}={launch.on}")
    yield "--again"
