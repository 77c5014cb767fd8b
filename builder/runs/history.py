"""Runs as the ledger has them: whose, of what, where, and how they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from statistics import median
from typing import Any

from builder.data.ledger import Ledger, Warn, seconds_of
from builder.model.run import RunResult
from builder.steps.explain import ended_of, seconds_of_run, started_of
from builder.steps.jobs import waiting_words
from builder.steps.outcome import Records, facts_of, result_of, state_of

OPEN = ("starting", "submitting", "submitted", "waiting", "running")
"""The states of a run that goes on, or is thought to."""

_LOOKED_AT = 60
"""How many runs tell how long one usually takes."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A run with all that is written of it. `state` is what its records say until somebody knows better; `detail` says more of it in
    words, such as what it waits for, and is mostly empty.
    """

    run: str
    records: Records
    state: str
    detail: str = ""

    @classmethod
    def of(cls, run: str, records: Records) -> Seen:
        """What its steps wait for in Slurm is written down; what else it waits for is not."""
        seen = cls(run, records, state_of(records))
        return replace(seen, detail=waiting_words(records)) if seen.is_open else seen

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def flow(self) -> str:
        return self._fact("flow")

    @property
    def commit(self) -> str:
        return self._fact("commit") or next((str(record["commit"]) for record in self.records.values() if record.get("commit")), "")

    @property
    def reference(self) -> str:
        return self._fact("reference")

    @property
    def subject(self) -> str:
        return self._fact("subject")

    @property
    def on(self) -> str:
        """local, docker or argo; empty when nobody has said so yet."""
        return self._fact("on")

    @property
    def where(self) -> str:
        """`argo`, or the target and the machine."""
        host = facts_of(self.records).get("host")
        return self.on if self.on == "argo" or not host else f"{self.on} {host}"

    @property
    def who(self) -> str:
        """The person; of a nightly its schedule."""
        origin = self.origin
        return str(origin.get("who") or origin.get("schedule") or "")

    @property
    def origin(self) -> dict[str, Any]:
        return dict(facts_of(self.records).get("origin") or {})

    @property
    def overrides(self) -> tuple[str, ...]:
        return tuple(facts_of(self.records).get("overrides") or ())

    @property
    def started(self) -> str:
        return started_of(self.records)

    @property
    def ended(self) -> str:
        return ended_of(self.records)

    @property
    def seconds(self) -> float | None:
        return seconds_of_run(self.records)

    @property
    def result(self) -> RunResult:
        """What came of it, as far as it is."""
        return replace(result_of(self.run, self.records), state=self.state)

    @property
    def links(self) -> dict[str, str]:
        """Name to place: those of the settings, and once it has ended those to what it left."""
        links = {**(facts_of(self.records).get("links") or {}), **self.result.links}
        return {name: str(place) for name, place in links.items()}

    def _fact(self, name: str) -> str:
        return str(facts_of(self.records).get(name) or "")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which runs are meant; what is empty does not matter. `commit` is the beginning of a sha, `was` of one that it had before."""

    flow: str = ""
    commit: str = ""
    who: str = ""
    on: str = ""
    was: str = ""

    def takes(self, seen: Seen) -> bool:
        same = all(not wanted or wanted == found for wanted, found in ((self.flow, seen.flow), (self.who, seen.who), (self.on, seen.on)))
        return same and (seen.commit.startswith(self.commit) or (bool(self.was) and seen.commit.startswith(self.was)))


def runs_of(ledger: Ledger, wanted: Filter, last: int | None = None, warn: Warn = lambda _: None) -> list[Seen]:
    """The last runs that are meant, the one that was started last first."""
    limit = last if wanted == Filter() else None
    found = _meant(ledger, wanted, limit, warn)
    return newest_first(islice(found, last))


def _meant(ledger: Ledger, wanted: Filter, limit: int | None, warn: Warn) -> Iterator[Seen]:
    for entry in ledger.runs(limit, warn):
        seen = Seen.of(entry.run, entry.records)
        if wanted.takes(seen):
            yield seen


def newest_first(runs: Iterable[Seen]) -> list[Seen]:
    return sorted(runs, key=lambda seen: (seen.started, seen.run), reverse=True)


def usual_seconds(ledger: Ledger, flow: str, on: str) -> float | None:
    """How long a run of the flow takes there, from its start to its end: the median of those that succeeded lately."""
    took = []
    for entry in ledger.runs(_LOOKED_AT):
        seen = Seen.of(entry.run, entry.records)
        if Filter(flow=flow, on=on).takes(seen) and seen.state == "succeeded" and not seen.origin.get("retried"):
            took.append(seconds_working(seen))
    return median(took) if took else None


def seconds_working(seen: Seen) -> float:
    """From its first step to its end: what it waited before is another matter."""
    first = seen.records.get("start", {}).get("started") or seen.started
    return max(0.0, seconds_of(seen.ended or first) - seconds_of(first))
