"""Writes down how each step stands, in the ledger: started, then ended, and why it failed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from builder.data.directory import DirectoryObjects
from builder.data.ledger import Ledger, now
from builder.errors import BuilderError
from builder.model.run import Request


@contextmanager
def recorded(request: Request, step: str, log: Path | None = None) -> Iterator[dict[str, Any]]:
    """Round a step, whose command writes to `log`. What the step puts into the dictionary is kept with its record.

    So is the message of an error, which goes on.
    """
    ledger = Ledger(DirectoryObjects(Path(request.place.data)))
    found: dict[str, Any] = {}
    record: dict[str, Any] = {"commit": request.commit, "host": socket.gethostname(), "started": now()}
    if log:
        record["log"] = str(log)
    ledger.write(request.run, step, {**record, "state": "running"})
    try:
        yield found
    except BaseException as error:
        message, hint = (error.message, error.hint) if isinstance(error, BuilderError) else (f"{type(error).__name__}: {error}", "")
        ledger.write(request.run, step, {**record, **found, "state": "failed", "ended": now(), "error": message, "hint": hint})
        raise
    ledger.write(request.run, step, {**record, **found, "state": "succeeded", "ended": now()})
