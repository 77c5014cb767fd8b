"""Since when nothing needs a manifest, where the store itself does not know how old it is: `gc/<store>/unneeded.json` in the data root.

One small object for all: the digest of each manifest that was found unneeded, and when it was first. What is needed again is forgotten, and
so is what is about to be removed: should it come back, it begins anew. Who writes last wins; what gets lost by that stays longer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from builder.data.interface import Objects
from builder.errors import DataError

_SCHEMA = 1


class Unneeded:
    """Of one store."""

    def __init__(self, objects: Objects, store: str) -> None:
        self._objects = objects
        self._store = store
        self._key = f"gc/{hashlib.sha256(store.encode()).hexdigest()[:16]}/unneeded.json"
        self._written: dict[str, float] = {}

    def read(self) -> dict[str, float]:
        """Digest to seconds since 1970. Raises DataError when it cannot be read."""
        data = self._objects.get(self._key)
        if data is None:
            return {}
        try:
            raw = json.loads(data)
            found = {str(digest): float(when) for digest, when in raw["since"].items()}
            if raw["schema"] != _SCHEMA:
                raise ValueError(f"schema {raw['schema']}")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            where = self._objects.url(self._key)
            raise DataError(f"{where} cannot be read: {error}", "delete it: then all that is not needed counts from now on") from error
        self._written = dict(found)
        return found

    def note(self, unneeded: Iterable[str], before: Mapping[str, float], now: float) -> dict[str, float]:
        """Writes down what is not needed now, with when that began, and returns it. Of what `before` does not know it begins now."""
        return self._write({digest: min(before.get(digest, now), now) for digest in unneeded})

    def forget(self, digests: Iterable[str]) -> None:
        """Before these are removed."""
        gone = frozenset(digests)
        self._write({digest: when for digest, when in self._written.items() if digest not in gone})

    def _write(self, since: dict[str, float]) -> dict[str, float]:
        if since != self._written:
            whole = {digest: int(when) for digest, when in sorted(since.items())}
            data = json.dumps({"schema": _SCHEMA, "store": self._store, "since": whole}, separators=(",", ":"))
            self._objects.put(self._key, data.encode())
            self._written = dict(since)
        return since
