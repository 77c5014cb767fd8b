"""That somebody asked for the end of a run: `runs/<run>/stop.json`, read by what writes down the end, wherever it runs."""

from __future__ import annotations

import json
from typing import Any

from builder.data.interface import Objects
from builder.data.ledger import now
from builder.steps.publish import published

_FILE = "stop.json"


def ask_to_stop(objects: Objects, run: str, who: str) -> bool:
    """Before anything is ended. False when somebody has asked already."""
    return objects.put(published(run, "", _FILE), json.dumps({"who": who, "at": now()}).encode(), new=True)


def stopped_by(objects: Objects, run: str) -> dict[str, Any]:
    """What the record of the end says of a run that was stopped."""
    data = objects.get(published(run, "", _FILE))
    if data is None:
        return {"state": "stopped"}
    who = str(json.loads(data)["who"])
    return {"state": "stopped", "stopped_by": who, "error": f"{run} was stopped by {who}"}


def asked_to_stop(objects: Objects, run: str) -> tuple[str, str]:
    """Who asked for the run's end, and when (as the ledger writes it); empty words when nobody did."""
    data = objects.get(published(run, "", _FILE))
    found = json.loads(data) if data else {}
    return str(found.get("who", "")), str(found.get("at", ""))
