"""A run's logs, step by step, as far as they are, or to the run's end: over pods that are retried, and a cluster that goes away."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from builder.errors import ClusterError
from builder.runs.history import Seen
from builder.runs.log_sources import Where, has_log, is_going, sources_of
from builder.steps.outcome import steps_of

_LOOK_EVERY = {"argo": 2.0}
_LOOK_HERE = 0.3  # seconds

Look = Callable[[], Seen]
"""Gives the run as it stands now."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of what a step wrote."""

    step: str
    data: bytes


@dataclass
class Follower:
    """Follows a run's logs. `say` is told in a line what one waits for."""

    look: Look
    where: Where
    say: Callable[[str], None]
    _read: Counter[str] = field(default_factory=Counter)
    _said: str = ""

    def all(self) -> Iterator[Piece]:
        """Of every step, one after the other, in the order in which they began."""
        done: set[str] = set()
        while True:
            seen = self.look()
            steps = [step for step in steps_in_order(seen, self.where) if step not in done]
            for step in steps[:1]:
                yield from self.one(step)
                done.add(step)
            if not steps and not seen.is_open:
                return
            if not steps:
                self._wait(seen)

    def one(self, step: str) -> Iterator[Piece]:
        """Of one step, which need not have begun."""
        while True:
            seen = self.look()
            going = is_going(seen, step) or (seen.is_open and step not in seen.records)
            yield from self._new(seen, step)
            if not going:
                return
            self._wait(seen)

    def _new(self, seen: Seen, step: str) -> Iterator[Piece]:
        try:
            for source in sources_of(seen, step, self.where):
                name = f"{step} {source.key}"
                for data in source.read(self._read[name]):
                    self._read[name] += len(data)
                    if data:
                        yield Piece(step, data)
        except ClusterError as error:  # it goes away, or the pod is gone: what it wrote is in the data root once the step has ended
            if seen.is_open:
                self._tell(f"{error.message}; looking again")

    def _wait(self, seen: Seen) -> None:
        self._tell(seen.detail and f"{seen.run} is {seen.state}: {seen.detail}")
        time.sleep(_LOOK_EVERY.get(seen.on, _LOOK_HERE))

    def _tell(self, line: str) -> None:
        if line and line != self._said:
            self._said = line
            self.say(line)


def logs_of(seen: Seen, where: Where, step: str, say: Callable[[str], None]) -> Iterator[Piece]:
    """What is there now, of one step, or of all where `step` is empty. `say` is told what cannot be read."""
    for name in [step] if step else steps_in_order(seen, where):
        yield from _there(seen, where, name, say)


def _there(seen: Seen, where: Where, step: str, say: Callable[[str], None]) -> Iterator[Piece]:
    try:
        for source in sources_of(seen, step, where):
            yield from (Piece(step, data) for data in source.read(0) if data)
    except ClusterError as error:
        say(f"{step}: {error.message}")


def steps_in_order(seen: Seen, where: Where) -> list[str]:
    """Steps that have begun and may have written something."""
    return [step for step, record in steps_of(seen.records).items() if has_log(record, where)]
