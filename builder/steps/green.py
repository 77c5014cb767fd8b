"""What passed: runs by what they did, and the green runs of the default branch, newest last.

identities/<identity>/<ended>-<run>     runs that succeeded, by image, configuration and commands
green/<flow>/<ended>-<run>              those at commits of the default branch, with nothing changed by hand
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from builder.data.interface import Objects
from builder.data.ledger import now
from builder.model.run import RunResult
from builder.steps.request import Request


def remember(objects: Objects, request: Request, result: RunResult) -> None:
    """Writes down a run that succeeded. One with a hole in its report is neither green nor the last word on what it did."""
    if result.holes:
        return
    ended = now()
    document = {**result.to_json(), "ended": ended, "schedule": request.origin.schedule}
    names = ("run", "flow", "commit", "reference", "scores", "loss", "checkpoint", "config", "ended", "schedule")
    data = json.dumps({name: document[name] for name in names}).encode()
    objects.put(f"identities/{result.identity}/{ended}-{request.run}", data, new=True)
    by_hand = request.overrides and not request.origin.schedule
    if request.origin.main and not by_hand and set(request.evals) == set(request.settings.evals):
        objects.put(f"green/{request.flow}/{ended}-{request.run}", data, new=True)


def last(objects: Objects, flow: str, *, before: str = "", scheduled: bool = False, until: str = "") -> dict[str, Any] | None:
    """The newest green run of a flow other than `before`; with `scheduled` the newest that a schedule started, with `until` (a time as
    the ledger writes it) the newest that had ended by then.
    """

    def wanted(found: dict[str, Any]) -> bool:
        return found["run"] != before and (not scheduled or bool(found["schedule"])) and (not until or found["ended"] <= until)

    return _newest(objects, f"green/{flow}/", wanted)


def same(objects: Objects, identity: str) -> dict[str, Any] | None:
    """The newest run that did the same and succeeded."""
    return _newest(objects, f"identities/{identity}/", lambda _: True)


def _newest(objects: Objects, prefix: str, wanted: Any) -> dict[str, Any] | None:
    return next(filter(wanted, _newest_first(objects, prefix)), None)


def newest_first(objects: Objects, flow: str) -> Iterator[dict[str, Any]]:
    """Every green run of a flow, read as it is asked for."""
    return _newest_first(objects, f"green/{flow}/")


def _newest_first(objects: Objects, prefix: str) -> Iterator[dict[str, Any]]:
    for key in sorted((found.key for found in objects.list(prefix)), reverse=True):
        data = objects.get(key)
        if data is not None:
            yield dict(json.loads(data))
