"""The step that starts the flow which goes on with the checkpoint, at the same commit: through the outbox, as a command would."""

from __future__ import annotations

import json

from builder.files import write_whole
from builder.steps.command import outbox_path
from builder.steps.outbox import start_asked
from builder.steps.perform import Facts, perform
from builder.steps.request import Task

STEP = "handover"


def run(task: Task, checkpoint: str) -> list[str]:
    """The runs that it started: one, or none where [flow.NAME] starts is empty. Raises LaunchError."""
    return perform(task, STEP, list, lambda facts: _hand_over(task, checkpoint, facts))


def _hand_over(task: Task, checkpoint: str, facts: Facts) -> list[str]:
    request = task.request
    if not request.settings.starts:
        return []
    line = json.dumps({"start": request.settings.starts, "initial": checkpoint})
    outbox = outbox_path(request, STEP)
    outbox.parent.mkdir(parents=True, exist_ok=True)
    write_whole(outbox, f"{line}\n".encode())
    start_asked(task, STEP, facts)
    return list(facts["children"])
