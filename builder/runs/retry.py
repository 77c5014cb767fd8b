"""Goes on with a run: a new one that does the same, and keeps what was done well."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from builder.data.checkpoints import check
from builder.data.interface import Objects
from builder.errors import BuilderError, IntegrityError, UsageError
from builder.runs.history import Seen
from builder.runs.places import Directories
from builder.runs.prepare import run_name
from builder.settings import DataSettings
from builder.steps.order import comes_from, steps_for
from builder.steps.request import Request

_NO_RECORD = "join"


def go_on(seen: Seen, request: Request, redo: str, who: str) -> Request:
    """What the new run is asked for: the same, by the person who asks now. `redo` is a step that is done anew, with all that needs it.

    Raises UsageError when there is nothing to go on with.
    """
    if seen.is_open:
        raise UsageError(f"{seen.run} is {seen.state}", f"builder stop {seen.run} ends it first")
    if seen.state == "succeeded" and not redo:
        raise UsageError(f"{seen.run} succeeded", "--from STEP does that step, and all that needs it, again")
    if redo and not request.settings.file:
        check_step(redo, request)
    origin = replace(request.origin, who=who, retried=seen.run, redo=redo, schedule="")
    return replace(request, run=run_name(request.flow, request.commit), origin=origin)


def check_step(step: str, request: Request) -> None:
    """`evaluate` is all of its action types. Raises UsageError when the run has no such step."""
    steps = steps_for(request)
    known = ("evaluate", *steps) if request.evals else steps
    if step not in known:
        near = difflib.get_close_matches(step, known, 1)
        raise UsageError(f"{request.run} has no step {step}", f"did you mean {near[0]}?" if near else f"its steps: {', '.join(steps)}")


def moved(request: Request, directories: Directories, ours: DataSettings, python: str) -> Request:
    """The same in directories of this machine: a run of another one may be gone on with here. A pod has its own anyway."""
    if request.on == "argo":
        return request
    output = directories.output(request.run)
    place = replace(request.place, output=str(output))
    if request.on == "local":
        place = replace(place, workdir=str(output / "code"), python=python)
    data = request.data if "://" in request.data.root else replace(request.data, root=ours.root)
    data = data if "://" in data.archive else replace(data, archive=ours.archive)
    return replace(request, place=place, data=data)


def kept_steps(records: Mapping[str, Mapping[str, Any]], request: Request) -> list[str]:
    """The steps that are not done again, in their order."""
    redo = request.origin.redo
    done = {step for step, record in records.items() if record["state"] == "succeeded" and "result" in record}
    return [step for step in steps_for(request) if step in done and not comes_from(step, redo)]


def steps_to_do(kept: list[str], request: Request) -> list[str]:
    return [step for step in steps_for(request) if step not in kept and step != _NO_RECORD]


def check_checkpoint(records: Mapping[str, Mapping[str, Any]], kept: list[str], objects: Objects) -> None:
    """Raises IntegrityError when the checkpoint that the run would go on with is not there any more."""
    if "freeze" not in kept:
        return
    try:
        check(objects, str(records["freeze"]["result"]))
    except BuilderError as error:
        raise IntegrityError(f"the checkpoint to go on with is gone: {error.message}", "--from finetune trains it again") from error


def still_there(python: str) -> bool:
    return bool(python) and Path(python).exists()
