"""The ledger: what ran, one small JSON object per (run, step), each written by one process only.

Objects are replaced whole, so a reader never sees half of one. `ledger/<run>/<step>.json`; the step `run` is the run itself.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from builder.data.interface import Found, Objects
from builder.data.keys import is_plain_name
from builder.data.ledger_cache import LedgerCache, Records
from builder.data.threads import in_threads
from builder.errors import DataError

SCHEMA = 1
RUN, EXIT, GONE = "run", "exit", "run-gone"
"""Three steps that are none: what who started the run wrote of it, what Argo's exit handler did, and that the run is being removed."""

_FOLDER = "ledger"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_LISTED_ALONE = 64  # runs: for more it is quicker to list the whole ledger
_RUNS_AT_ONCE = 64  # are read before the first of them is given

Warn = Callable[[str], None]
"""Tells a person one line."""


class LedgerError(DataError):
    """A record of the ledger is damaged, or none of ours."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A run with its records by step. `modified`: when the last of them was written, in seconds since 1970."""

    run: str
    modified: float
    records: Records


class Ledger:
    """The ledger in a data root. `cache` is a local directory for runs that have ended; any number of processes may share it."""

    def __init__(self, objects: Objects, cache: Path | None = None) -> None:
        self._objects = objects
        self._cache = LedgerCache(cache, objects.name) if cache else None

    def write(self, run: str, step: str, record: Mapping[str, Any], *, new: bool = False) -> bool:
        """Replaces what was known of the step; with `new` only where nothing was: False when something was. Raises DataError."""
        own = {"schema": SCHEMA, "run": run, "step": step}
        text = json.dumps({**own, **record, **own}, indent=1)
        return self._objects.put(_key(run, step), f"{text}\n".encode(), new=new)

    def read(self, run: str) -> Records:
        """The run's records by step; empty when nothing is known of it, or it is being removed. Raises LedgerError on a damaged one."""
        prefix = _key(run, RUN).removesuffix(f"{RUN}.json")
        return self._read_all([self._listed(prefix).get(run, [])], _refuse)[0]

    def runs(self, limit: int | None = None, warn: Warn = lambda _: None) -> Iterator[Entry]:
        """The last runs, at most `limit`, the one that changed last first. They are read as they are asked for, some at a time.

        A record that is damaged, or none of ours, is left out, and `warn` gets a line about it.
        """
        listed = sorted(self._all().items(), key=lambda item: (-_modified(item[1]), item[0]))
        size = max(1, min(_RUNS_AT_ONCE, len(listed) if limit is None else limit))
        batches = (listed[start : start + size] for start in range(0, len(listed), size))
        entries = (entry for batch in batches for entry in self._entries(batch, warn))
        return itertools.islice(entries, limit)

    def withdraw(self, run: str) -> None:
        """From here on nothing is known of the run, whatever of it is still there. Raises DataError."""
        self.write(run, GONE, {"state": "gone", "at": now()})
        if self._cache:
            self._cache.forget(f"{_FOLDER}/{run}")

    def restore(self, run: str) -> None:
        """What was withdrawn is known again: nothing of it was removed. Raises DataError."""
        self._objects.delete([_key(run, GONE)])

    def _all(self) -> dict[str, list[Found]]:
        """Every run with its records. Those that the cache knows to have ended a while ago are not listed again, unless others are many."""
        if self._cache is None:
            return self._listed(f"{_FOLDER}/")
        names = list(self._objects.folders(f"{_FOLDER}/"))
        settled = {name: known for name in names if (known := self._cache.settled(f"{_FOLDER}/{name}"))}
        others = [name for name in names if name not in settled]
        if len(others) > _LISTED_ALONE:
            return self._listed(f"{_FOLDER}/")
        for found in in_threads(lambda name: self._listed(f"{_FOLDER}/{name}/"), others):
            settled |= found
        return settled

    def _listed(self, prefix: str) -> dict[str, list[Found]]:
        """Run -> its records, in the order of their steps' names."""
        runs: dict[str, list[Found]] = {}
        for found in sorted(self._objects.list(prefix), key=lambda found: found.key):
            _, run, *rest = found.key.split("/")
            if len(rest) == 1 and rest[0].endswith(".json"):  # anything else is none of ours
                runs.setdefault(run, []).append(found)
        return runs

    def _entries(self, batch: Sequence[tuple[str, list[Found]]], warn: Warn) -> Iterator[Entry]:
        read = self._read_all([listed for _, listed in batch], lambda error: warn(f"{error.message}: left out"))
        for (run, listed), records in zip(batch, read, strict=True):
            if records:
                yield Entry(run, _modified(listed), records)

    def _read_all(self, runs: Sequence[Sequence[Found]], damaged: Callable[[LedgerError], None]) -> list[Records]:
        """The records of each run, from the cache where they are in it."""
        known = [self._cache.get(listed) if self._cache else None for listed in runs]
        wanted = [found for listed, cached in zip(runs, known, strict=True) if cached is None for found in listed]
        data = dict(in_threads(lambda found: (found.key, self._objects.get(found.key)), wanted))
        return [self._parsed(listed, data, damaged) if cached is None else cached for listed, cached in zip(runs, known, strict=True)]

    def _parsed(self, listed: Sequence[Found], data: Mapping[str, bytes | None], damaged: Callable[[LedgerError], None]) -> Records:
        records: Records = {}
        for found in listed:
            raw = data[found.key]
            if raw is None:  # deleted since it was listed
                continue
            try:
                record = _parse(raw, found.key, self._objects)
            except LedgerError as error:
                damaged(error)
            else:
                records[record["step"]] = record
        if GONE in records:
            return {}
        if self._cache and len(records) == len(listed) and _is_over(records):
            self._cache.put(listed, records)
        return records


def _is_over(records: Records) -> bool:
    """Whether whoever looks after the run's end has written it down."""
    return any(records.get(step, {}).get("ended") for step in (RUN, EXIT))


def _parse(raw: bytes, key: str, objects: Objects) -> dict[str, Any]:
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise LedgerError(f"{objects.url(key)} cannot be read: {error}", "it is damaged: delete it") from error
    if not isinstance(record, dict) or f"{_FOLDER}/{record.get('run')}/{record.get('step')}.json" != key:
        raise LedgerError(f"{objects.url(key)} cannot be read: it is no record of that run and step", "it is none of ours: delete it")
    if record.get("schema") != SCHEMA:
        text = f"{objects.url(key)} cannot be read: its schema is {record.get('schema')!r}, this version knows {SCHEMA}"
        raise LedgerError(text, "a newer builder wrote it: use that one")
    return record


def _key(run: str, step: str) -> str:
    """Raises LedgerError on what is no name."""
    for name in (run, step):
        if not is_plain_name(name):
            raise LedgerError(f"{name!r} cannot be the name of a run or a step")
    return f"{_FOLDER}/{run}/{step}.json"


def _modified(listed: Sequence[Found]) -> float:
    return max(found.modified for found in listed)


def _refuse(error: LedgerError) -> None:
    raise error


def now() -> str:
    """The time in UTC as the ledger writes it: 2024-05-01T08:00:00Z."""
    return datetime.now(timezone.utc).strftime(_TIME)


def seconds_of(time: str) -> float:
    """A time as the ledger writes it, in seconds since 1970."""
    return datetime.strptime(time, _TIME).replace(tzinfo=timezone.utc).timestamp()
