"""What a commit's runs say of one metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from builder.bisect.metric import Judgement, Metric, judge
from builder.bisect.search import Verdict
from builder.model.run import TRAINING, finite
from builder.runs.history import Seen
from builder.steps.explain import explanation_of, lines_of

_SAYS_NOTHING = ("lost", "cancelled", "stage")
"""Ends of a step that are no fault of the commit's."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one commit: the values that its runs reported, by run; runs that go on; runs that ended without a value, with the reason.

    `barred`: why it cannot be run at all.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    going: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    barred: str = ""

    @property
    def is_unknown(self) -> bool:
        return not (self.values or self.failed or self.barred)

    @property
    def is_hopeless(self) -> bool:
        """More failures than values: what failed once among several that did not may be chance."""
        return bool(self.barred) or len(self.failed) > len(self.values)

    @property
    def why(self) -> str:
        """Why it has no value; empty when nothing speaks against one."""
        return self.barred or next(iter(self.failed.values()), "")


@dataclass(frozen=True, slots=True)
class Opinion:
    """What is thought of a commit. `verdict` is None while more runs are needed, `missing` of them at least."""

    verdict: Verdict | None
    missing: int
    evidence: Evidence
    judgement: Judgement
    why: str = ""


def opinion(metric: Metric, evidence: Evidence, repeat: int) -> Opinion:
    found = judge(metric, tuple(evidence.values.values()), repeat)
    if found.says == "good" or found.says == "bad":
        return Opinion(found.says, 0, evidence, found)
    if found.says == "unclear":
        return Opinion("skip", 0, evidence, found, "as many of its runs are good as bad")
    if evidence.is_hopeless:
        return Opinion("skip", 0, evidence, found, evidence.why)
    return Opinion(None, found.missing, evidence, found)


def evidence_of(metric: Metric, runs: Iterable[Seen], failing: Iterable[str] = ()) -> Evidence:
    """`runs` did the same at one commit. Those named in `failing` count as failed for whatever reason they ended without a value."""
    values: dict[str, float] = {}
    going: list[str] = []
    failed: dict[str, str] = {}
    for seen in sorted(runs, key=lambda seen: (seen.started, seen.run)):
        value = value_of(metric, seen)
        if seen.is_open:
            going.append(seen.run)
        elif value is not None:
            values[seen.run] = value
        elif seen.run in failing or is_own_fault(seen):
            failed[seen.run] = reason(metric, seen)
    return Evidence(values, tuple(going), failed)


def value_of(metric: Metric, seen: Seen) -> float | None:
    """What the run itself measured, however it ended: neither what it took over from another run nor what stands in for a failure."""
    if metric.is_loss:
        training: Mapping[str, Any] = next((seen.records[step] for step in TRAINING if step in seen.records), {})
        done = training.get("state") == "succeeded" and not training.get("kept")
        return finite(seen.result.loss) if done else None
    record = seen.records.get(f"evaluate-{metric.name}")
    if record is not None:
        fine = record["state"] == "succeeded" and not record.get("kept")
        score = record["result"]["score"] if fine and "result" in record else None
    else:
        score = seen.result.scores.get(metric.name) if seen.state == "succeeded" else None
    return finite(score)


def is_own_fault(seen: Seen) -> bool:
    """Whether the commit is to blame for a run without a value: not where it was stopped or lost, or never began."""
    if seen.state not in ("failed", "succeeded") or "start" not in seen.records:
        return False
    ends = [str(record.get("end", "")) for record in seen.records.values() if record.get("state") == "failed"]
    return not any(end in _SAYS_NOTHING for end in ends)


def reason(metric: Metric, seen: Seen) -> str:
    """One line: `finetune-abc1234-0a1b2c failed in step finetune: exit code 1`."""
    if seen.state == "succeeded":
        return f"{seen.run} reported no {metric.name}"
    told = explanation_of(seen.run, seen.records, seen.state)
    return next(lines_of(told))
