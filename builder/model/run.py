"""A run: what it is asked to do, where, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """Where the steps of a run find the commit's tree, and where they write. All paths are absolute.

    `workdir` holds the commit's tree; `pythonpath` and `env` are what [image] gives every command; `python` is the
    interpreter that `python` means in a command, or empty for the one on PATH; `output` is the run's own directory;
    `data` the data root, an absolute directory.
    """

    workdir: str
    output: str
    data: str
    pythonpath: tuple[str, ...] = ()
    python: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """All that the steps of a built-in flow need to know. `config` is relative to the commit's root; overrides are `key=value`."""

    run: str
    flow: str
    commit: str
    reference: str
    command: tuple[str, ...]
    evals: Mapping[str, tuple[str, ...]]
    place: Place
    config: str = ""
    overrides: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Request:
        place = {**raw["place"], "pythonpath": tuple(raw["place"]["pythonpath"])}
        lists = {"command": tuple(raw["command"]), "overrides": tuple(raw["overrides"])}
        evals = {action: tuple(command) for action, command in raw["evals"].items()}
        return cls(**{**raw, **lists, "evals": evals, "place": Place(**place)})


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the metrics contract: the value of `name` at a step (any number: an epoch, a batch, a count of samples)."""

    step: float
    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Training:
    """What fine-tuning left: its checkpoint's directory and the losses in order (none when it reported none)."""

    checkpoint: str
    losses: tuple[Metric, ...]
    seconds: float

    @property
    def loss(self) -> float | None:
        """The last one."""
        return self.losses[-1].value if self.losses else None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The score of one action type."""

    action: str
    score: float
    seconds: float


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. `state` is succeeded or failed; `error` and `hint` are empty unless it failed."""

    run: str
    flow: str
    commit: str
    reference: str
    state: str
    config: str = ""
    loss: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON has no NaN: a loss or a score that is no finite number is null."""
        scores = {action: finite(score) for action, score in self.scores.items()}
        return {**asdict(self), "loss": finite(self.loss), "scores": scores}


def finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
