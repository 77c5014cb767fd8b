"""That a run's logs were cleared away: `runs/<run>/cleared.json`. And that somebody goes on with a run: `runs/<run>/used.json`."""

from __future__ import annotations

import json

from builder.data.interface import Objects
from builder.data.ledger import now
from builder.steps.publish import published

CLEARED = "cleared.json"
_USED = "used.json"


def mark_cleared(objects: Objects, run: str) -> None:
    """Before anything goes: nobody must find no log, and no word of why."""
    objects.put(published(run, "", CLEARED), json.dumps({"at": now(), "what": "logs"}).encode())


def when_cleared(objects: Objects, run: str) -> str:
    """When, as the ledger writes it; empty where nothing was."""
    data = objects.get(published(run, "", CLEARED))
    return str(json.loads(data)["at"]) if data else ""


def mark_used(objects: Objects, run: str, by: str) -> None:
    """Before whoever goes on with the run reads what is known of it: who removes runs writes first, and then looks for this."""
    objects.put(published(run, "", _USED), json.dumps({"by": by, "at": now()}).encode())
