"""What the pod of a step of a team's own flow does last: `python -m builder.runs.own_outbox STEP TASK` starts what the step asked for.

The step's record is written anew from what Metaflow keeps, by other pods. So what was started is kept beside it, and linked at the end.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from builder.errors import BuilderError
from builder.runs.child_on_argo import OnArgo
from builder.steps import contract
from builder.steps.begin import request_in
from builder.steps.outbox import begin_all, read_asks
from builder.steps.publish import published
from builder.steps.request import Request, Starter
from builder.steps.root import objects_of

_FOLDER = "children"


def main(environ: Mapping[str, str], step: str, task: str) -> int:
    try:
        start_own(request_in(environ), Path(environ[contract.OUTBOX]), step, task, OnArgo())
    except BuilderError as error:
        sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n")
        return error.exit_code
    return 0


def start_own(request: Request, outbox: Path, step: str, task: str, starter: Starter) -> None:
    """Raises LaunchError, and starts nothing, when one line is wrong. `task` is Metaflow's name for one of a step's tasks."""
    starts = read_asks(request, outbox, f"{request.run}: step {step}", (request.run, step, task))
    begin_all(request, starter, starts)
    names = json.dumps([start.run for start in starts])
    objects_of(request).put(published(request.run, _FOLDER, f"{step}-{task}.json"), names.encode())


def kept_children(request: Request) -> list[str]:
    """What all steps have started."""
    objects = objects_of(request)
    found = sorted(entry.key for entry in objects.list(f"{published(request.run, _FOLDER, '')}/"))
    return [name for key in found for name in json.loads(objects.get(key) or b"[]")]


if __name__ == "__main__":
    sys.exit(main(os.environ, *sys.argv[1:3]))
