"""What of the findings is new, and what is over. Pure: from what was told before and what is found now to what is told now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from builder.watch.findings import Finding


@dataclass(frozen=True, slots=True)
class Open:
    """A finding that is remembered. `since` is when it was seen first; `told` whether people know of it, with this very `detail`."""

    kind: str
    subject: str
    text: str
    since: float
    told: bool
    sources: tuple[str, ...] = ()
    detail: str = ""
    lasting: bool = True


Memory = Mapping[str, Open]
"""By the findings' keys."""


@dataclass(frozen=True, slots=True)
class News:
    """`fresh` is told now, `over` is told as over, `known` was told before and is still so; `memory` is what to remember of it all."""

    fresh: tuple[Finding, ...]
    over: tuple[Open, ...]
    known: tuple[Finding, ...]
    memory: Memory

    @property
    def is_empty(self) -> bool:
        return not (self.fresh or self.over)


def news(before: Memory, found: Sequence[Finding], now: float, unseen: Collection[str] = ()) -> News:
    """Nothing is told twice, and an end once. What cannot be judged now, as a source of it is in `unseen`, stays as it was."""
    memory: dict[str, Open] = {}
    fresh: list[Finding] = []
    known: list[Finding] = []
    for finding in found:
        was = before.get(finding.key)
        since = was.since if was else now
        told = bool(was and was.told and was.detail == finding.detail)
        ripe = told or now - since >= finding.patience
        if ripe:
            (known if told else fresh).append(finding)
        memory[finding.key] = Open(
            finding.kind, finding.subject, finding.text, since, ripe, finding.sources, finding.detail, finding.lasting
        )
    gone = {key: was for key, was in before.items() if key not in memory}
    kept = {key: was for key, was in gone.items() if any(source in unseen for source in was.sources)}
    over = tuple(was for key, was in gone.items() if key not in kept and was.told and was.lasting)
    return News(tuple(fresh), over, tuple(known), {**memory, **kept})


def differs(before: Memory, after: Memory) -> bool:
    """Whether there is anything to remember that was not: texts, which tell times, do not count."""

    def essence(memory: Memory) -> dict[str, tuple[float, bool, str]]:
        return {key: (was.since, was.told, was.detail) for key, was in memory.items()}

    return essence(before) != essence(after)
