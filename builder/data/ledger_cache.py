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
_SURE = 600  # seconds after which a run that has ended is not even looked at: ended runs do not change


class LedgerCache:
    """Never an error: what cannot be read is not there, what cannot be written is not kept."""

    def __init__(self, directory: Path, root: str) -> None:
        self._directory = directory / hashlib.sha256(root.encode()).hexdigest()[:16]
        self._known: dict[Path, tuple[list[Found], Records]] = {}

    def get(self, listed: Sequence[Found]) -> Records | None:
        """The run's records as they were when they were listed just so: same keys, sizes and times."""
        before, records = self._kept(_folder(listed))
        return records if before and _stamp(before) == _stamp(listed) else None

    def settled(self, folder: str) -> list[Found]:
        """The records of a run in that folder that ended a while ago, as they were listed then; none where that is not known."""
        listed, _ = self._kept(folder)
        return listed if listed and max(found.modified for found in listed) < time.time() - _SURE else []

    def _kept(self, folder: str) -> tuple[list[Found], Records]:
        path = self._path(folder)
        if path not in self._known:
            try:
                kept = json.loads(path.read_bytes())
                self._known[path] = [Found(key, size, modified) for key, size, modified in kept["listed"]], kept["records"]
            except (OSError, ValueError, LookupError, TypeError):
                return [], {}
        return self._known[path]

    def put(self, listed: Sequence[Found], records: Records) -> None:
        if max(found.modified for found in listed) < time.time() - _SETTLED:
            with contextlib.suppress(OSError):
                path = self._path(_folder(listed))
                self._known.pop(path, None)
                write_whole(path, canonical_json({"listed": _stamp(listed), "records": records}))

    def forget(self, folder: str) -> None:
        """What is known of the run in that folder."""
        path = self._path(folder)
        self._known.pop(path, None)
        with contextlib.suppress(OSError):
            path.unlink()

    def _path(self, folder: str) -> Path:
        return self._directory / f"{hashlib.sha256(folder.encode()).hexdigest()[:32]}.json"


def _folder(listed: Sequence[Found]) -> str:
    return listed[0].key.rpartition("/")[0] if listed else ""


def _stamp(listed: Sequence[Found]) -> list[list[Any]]:
    return sorted([found.key, found.size, found.modified] for found in listed)
