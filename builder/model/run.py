"""What comes of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

STEPS = ("start", "train", "finetune", "freeze", "evaluate", "join", "handover", "end")
"""Of the built-in flows, in order; `evaluate` is done once for every action type, as `evaluate-ACTION`."""

TRAINING = ("finetune", "train")
"""Those whose command leaves a checkpoint."""

_STEPS_OF_TRAIN = ("start", "train", "freeze", "handover", "end")


def steps_of_kind(kind: str) -> tuple[str, ...]:
    """Of one built-in flow."""
    return _STEPS_OF_TRAIN if kind == "train" else tuple(step for step in STEPS if step not in ("train", "handover"))


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the metrics contract: the value of `name` at a step (any number: an epoch, a batch, a count of samples)."""

    step: float
    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Training:
    """What fine-tuning left: its checkpoint's digest (`sha256:<hex>`, in the data root), the losses in order (none when it reported
    none), and the checkpoint's size in bytes.
    """

    checkpoint: str
    losses: tuple[Metric, ...]
    seconds: float
    size: int = 0

    @property
    def loss(self) -> float | None:
        """The last one."""
        return self.losses[-1].value if self.losses else None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The score of one action type; None is a hole, and `error` says why."""

    action: str
    score: float | None
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run stands or ended. `state` is running, succeeded, failed, stopped or lost; `error` and `hint` are empty unless it failed.

    `scores` has None where an evaluation is a hole, and `holes` says why; `baseline` is the last green run on the default branch.
    `restored`: what commands got back of what `slim-repo` took out of the commit (list, was, files, size); empty when nothing.
    """

    run: str
    flow: str
    commit: str
    reference: str
    state: str
    config: str = ""
    identity: str = ""
    checkpoint: str = ""
    loss: float | None = None
    scores: Mapping[str, float | None] = field(default_factory=dict)
    holes: Mapping[str, str] = field(default_factory=dict)
    baseline: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    restored: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON has no NaN: a loss or a score that is no finite number is null."""
        scores = {action: finite(score) for action, score in self.scores.items()}
        return {**asdict(self), "loss": finite(self.loss), "scores": scores}


def finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
