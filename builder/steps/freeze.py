"""The step after which a checkpoint stays as it is: everything of it is there, and it is written down whose it is."""

from __future__ import annotations

import json

from builder.data.checkpoints import check
from builder.data.ledger import now
from builder.model.run import Training
from builder.steps.perform import Facts, perform
from builder.steps.request import Task
from builder.steps.root import objects_of

STEP = "freeze"


def run(task: Task, training: Training) -> str:
    """The checkpoint's digest. Raises IntegrityError when a file of it is not in the data root."""
    return perform(task, STEP, str, lambda facts: _freeze(task, training, facts))


def _freeze(task: Task, training: Training, facts: Facts) -> str:
    objects, request = objects_of(task.request), task.request
    frozen = check(objects, training.checkpoint)
    facts.update(checkpoint=frozen.digest, files=frozen.files, size=frozen.size)
    whose = {"run": request.run, "flow": request.flow, "commit": request.commit, "reference": request.reference, "frozen": now()}
    objects.put(owner_key(frozen.digest, request.run), json.dumps(whose).encode(), new=True)
    return frozen.digest


def owner_key(digest: str, run: str = "") -> str:
    """Under this key it is written down that the run made the checkpoint; without a run, what all such keys begin with."""
    return f"frozen/{digest.removeprefix('sha256:')}/{run}"
