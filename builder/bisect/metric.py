"""`click<0.8`: what makes a commit bad, and what several runs of it say together."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from builder.errors import UsageError
from builder.runs.comparing import LOSS

_FORM = re.compile(r"\s*([A-Za-z0-9_][\w.-]*)\s*(<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")
_COMPARES: Mapping[str, Callable[[float, float], bool]] = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}

Said = Literal["good", "bad", "unclear", "open"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A commit is bad when its value of `name` (an action type's score, or `loss`) compares so with the threshold."""

    name: str
    compares: str
    threshold: float

    @classmethod
    def parse(cls, text: str) -> Metric:
        """Raises UsageError on anything but NAME, one of < <= > >=, and a number."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise UsageError(f"--metric {text!r} is not NAME<NUMBER", "it says what is bad, such as 'click<0.8' or 'loss>0.5', in quotes")
        return cls(match[1], match[2], float(match[3]))

    def __str__(self) -> str:
        return f"{self.name}{self.compares}{self.threshold:g}"

    @property
    def is_loss(self) -> bool:
        return self.name == LOSS

    def is_bad(self, value: float) -> bool:
        return _COMPARES[self.compares](value, self.threshold)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a commit's values say: `open` while `missing` more runs may still decide, `unclear` when they cannot.

    `value` is the median, None without any; `split`: some say good and some bad.
    """

    says: Said
    missing: int
    value: float | None
    split: bool


def judge(metric: Metric, values: Sequence[float], repeat: int) -> Judgement:
    """The majority of `repeat` runs, as soon as no more runs can change it, so that the median is on that side, too.

    Where more than `repeat` values are known already, all of them count.
    """
    bad = sum(map(metric.is_bad, values))
    good, wanted = len(values) - bad, max(repeat, len(values))
    most, majority = max(good, bad), wanted // 2 + 1
    middle, split = median(values) if values else None, bool(good and bad)
    if most >= majority:
        return Judgement("bad" if bad > good else "good", 0, middle, split)
    if len(values) >= wanted:
        return Judgement("unclear", 0, middle, split)
    return Judgement("open", min(majority - most, wanted - len(values)), middle, split)
