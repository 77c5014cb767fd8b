"""In which order the steps of the built-in flows come, for going on with a run that failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builder.model.run import STEPS, steps_of_kind
from builder.steps.request import Request


def steps_for(request: Request) -> tuple[str, ...]:
    """The steps of a run, as the ledger names them: one for every action type that it evaluates."""
    steps = steps_of_kind(request.kind)
    return tuple(name for step in steps for name in ([f"{step}-{action}" for action in request.evals] if step == "evaluate" else [step]))


def comes_from(step: str, redo: str) -> bool:
    """Whether `step` is `redo`, or needs what it does. Nothing comes from the empty step."""
    if not redo:
        return False
    if "-" in redo and _rank(step) == _rank(redo):  # one action type: the others do not need it
        return step == redo
    return _rank(step) >= _rank(redo)


def by_beginning(item: tuple[str, Mapping[str, Any]]) -> tuple[str, int, str]:
    """Sorts steps and their records. The ledger tells whole seconds: of steps that began in the same one, `start` comes before the next."""
    step, record = item
    known = step.partition("-")[0] in STEPS  # a team's own flow has others
    return (str(record.get("started", "")), _rank(step if known else "finetune"), step)


def _rank(step: str) -> int:
    return STEPS.index(step.partition("-")[0])
