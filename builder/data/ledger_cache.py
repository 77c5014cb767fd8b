"""Records of runs that have ended, kept on this machine: they do not change, and a list of runs need not fetch them again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builder.data.interface import Found
from builder.files import write_whole
from builder.model.oci import canonical_json

Records = dict[str, dict[str, Any]]
"""Step -> what is known of it."""

_SETTLED = 3  # seconds; S3 tells times in whole ones, so what changed a moment ago may change again unseen


class LedgerCache:
    """Never an error: what cannot be read is not there, what cannot be written is not kept."""

    def __init__(self, directory: Path, root: str) -> None:
        self._directory = directory / hashlib.sha256(root.encode()).hexdigest()[:16]

    def get(self, listed: Sequence[Found]) -> Records | None:
        """The run's records as they were when they were listed just so: same keys, sizes and times."""
        try:
            kept = json.loads(self._path(listed).read_bytes())
            records: Records = kept["records"]
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return records if kept["listed"] == _stamp(listed) else None

    def put(self, listed: Sequence[Found], records: Records) -> None:
        if max(found.modified for found in listed) < time.time() - _SETTLED:
            with contextlib.suppress(OSError):
                write_whole(self._path(listed), canonical_json({"listed": _stamp(listed), "records": records}))

    def _path(self, listed: Sequence[Found]) -> Path:
        run = listed[0].key.rpartition("/")[0] if listed else ""
        return self._directory / f"{hashlib.sha256(run.encode()).hexdigest()[:32]}.json"


def _stamp(listed: Sequence[Found]) -> list[list[Any]]:
    return sorted([found.key, found.size, found.modified] for found in listed)
