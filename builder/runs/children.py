"""Runs that other runs start: what the ledger says of one before it says it itself, and which follow when a run has ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from builder.data.ledger import RUN, Ledger, now
from builder.errors import BuilderError
from builder.steps.outbox import child_name, child_origin
from builder.steps.request import Request, Start

STARTING = "starting"

_ENDS = ("succeeded", "failed")
"""A run that somebody stopped is followed by none."""


def announce(ledger: Ledger, start: Start, facts: Mapping[str, Any]) -> bool:
    """Writes down that the run is about to start; False when it is known already, and so must not be started again.

    `facts` is what is known of it so far. The run itself overwrites it all.
    """
    if RUN in ledger.read(start.run):
        return False
    ledger.write(start.run, RUN, {**_about(start), **facts, "started": now(), "state": STARTING})
    return True


def refuse(ledger: Ledger, start: Start, error: BuilderError) -> None:
    """Writes down why the run could not be started, unless it says itself how it stands."""
    known = ledger.read(start.run).get(RUN, {"started": now(), "state": STARTING})
    if known["state"] == STARTING:
        why = {"error": error.message, "hint": error.hint}
        ledger.write(start.run, RUN, {**_about(start), **known, **why, "state": "failed", "ended": now()})


def following(request: Request, state: str) -> Iterator[Start]:
    """What starts when the run has ended so: the flows that the settings chain to its own, at the same commit."""
    for flow, only_if in request.then.items():
        if state in _ENDS and only_if in (state, "ended"):
            name = child_name(flow, request.run, "after")
            yield Start(name, flow, child_origin(request), where=f"[flow.{flow}] after = {request.flow!r}")


def link(ledger: Ledger, run: str, step: str, children: Sequence[str]) -> None:
    """Adds to a record, of which this process is the writer, which runs came of it."""
    if children:
        ledger.write(run, step, {**ledger.read(run).get(step, {}), "children": list(children)})


def _about(start: Start) -> dict[str, Any]:
    import msgspec

    return {"flow": start.flow, "overrides": list(start.overrides), "evals": list(start.evals), "origin": msgspec.to_builtins(start.origin)}
