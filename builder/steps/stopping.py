"""That somebody asked for the end of a run: `runs/<run>/stop.json`, read by what writes down the end, wherever it runs."""

from __future__ import annotations

import json

from builder.data.interface import Objects
from builder.data.ledger import now
from builder.steps.publish import published

_FILE = "stop.json"


def ask_to_stop(objects: Objects, run: str, who: str) -> bool:
    """Before anything is ended. False when somebody has asked already."""
    return objects.put(published(run, "", _FILE), json.dumps({"who": who, "at": now()}).encode(), new=True)


def who_stopped(objects: Objects, run: str) -> str:
    """Empty when nobody did."""
    data = objects.get(published(run, "", _FILE))
    return str(json.loads(data)["who"]) if data is not None else ""
