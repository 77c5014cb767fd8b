"""The ledger: what ran, one small JSON object per (run, step), each written by one process only.

Objects are replaced whole, so a reader never sees half of one. `<root>/<run>/<step>.json`; the step `run` is the run itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from builder.errors import BuilderError
from builder.files import write_whole

SCHEMA = 1
RUN = "run"


class LedgerError(BuilderError):
    """The ledger cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger in a directory."""

    root: Path

    def write(self, run: str, step: str, record: Mapping[str, Any]) -> None:
        path = self.root / run / f"{step}.json"
        text = json.dumps({"schema": SCHEMA, "run": run, "step": step, **record}, indent=1)
        try:
            write_whole(path, f"{text}\n".encode())
        except OSError as error:
            raise LedgerError(f"{path} cannot be written: {error.strerror}", "look at `[data] root` in the settings") from error

    def read(self, run: str) -> dict[str, dict[str, Any]]:
        """The run's records by step; empty when nothing is known of it."""
        return {path.stem: _read(path) for path in sorted((self.root / run).glob("*.json"))}


def _read(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LedgerError(f"{path} cannot be read: {error}") from error
    return record


def now() -> str:
    """The time in UTC as the ledger writes it: 2024-05-01T08:00:00Z."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
