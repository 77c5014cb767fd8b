"""A commit as a search runs it, and which of the runs that the ledger has did the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from builder.runs.history import Seen
from builder.settings import FlowSettings
from builder.steps.outcome import facts_of
from builder.steps.request import Request, identity


@dataclass(frozen=True, slots=True)
class Point:
    """`request` is what a run of the commit is asked, without its name and its image; `config` the digest of its configuration;
    `image` the digest (`sha256:<hex>`) of the image that the store has, empty where it has none; `needs` the action types without which
    a run tells nothing.
    """

    request: Request
    config: str
    image: str = ""
    needs: tuple[str, ...] = ()

    def identity(self, image: str, evals: Sequence[str] | None = None) -> str:
        """Of a run in that image that evaluates these action types, by default those that are wanted; empty where it has not all of
        them.
        """
        request = replace(self.request, reference=f"@{image}")
        if evals is not None and not request.settings.file:
            if not set(evals) <= set(request.settings.evals):
                return ""
            request = replace(request, evals=tuple(sorted(evals)))
        return identity(request, self.config)

    def is_same(self, seen: Seen) -> bool:
        """By what the run did, once it has said so; before that by what it was asked. It may have evaluated others.

        An image that is not in the store any more would be made the same again, so the run's own is taken for it.
        """
        facts = facts_of(seen.records)
        evals, image = tuple(facts.get("evals") or ()), seen.reference.rpartition("@")[2]
        if not set(self.needs) <= set(evals) or self.image not in ("", image):
            return False
        if done := seen.result.identity:
            return done == self.identity(image, evals)
        return seen.is_open and set(seen.overrides) == set(self.request.overrides)


def least_evals(flow: FlowSettings) -> tuple[str, ...]:
    """One action type, as a run needs one: the first that a command evaluates, since others may take days. None where it has none."""
    first = min(flow.evals, key=lambda action: not isinstance(flow.evals[action], tuple), default="")
    return (first,) if first and not flow.file else ()
