"""What the data root has of runs: records, files, and what leads from one run to another. Listed in one pass each, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from builder.collect.data_side import green_keys, last_green
from builder.data.interface import Found, Objects
from builder.data.ledger import GONE, Ledger
from builder.errors import DataError
from builder.runs.cleared import CLEARED
from builder.runs.history import Seen
from builder.steps.outcome import ENDED, Records

FILES = ("runs", "external")
"""Folders that hold a folder for each run."""
_STAMP = len("2024-05-01T08:00:00Z-")


@dataclass(slots=True)
class Files:
    """What lies in some folder for one run. `newest` is when one of them was written last, `gone` that its removal was begun."""

    count: int = 0
    size: int = 0
    newest: float = 0.0
    logs: int = 0
    log_size: int = 0
    gone: bool = False

    def add(self, found: Found) -> None:
        self.count += 1
        self.size += found.size
        if not found.key.endswith(f"/{CLEARED}"):
            self.newest = max(self.newest, found.modified)
        if is_log(found.key):
            self.logs += 1
            self.log_size += found.size
        self.gone = self.gone or found.key.endswith(f"/{GONE}.json")


@dataclass(frozen=True, slots=True)
class Run:
    """A run in the ledger. `changed`: when anything of it was written last. `ended`: somebody wrote down its end. `kin` are the runs that
    started it, that it started, or that it goes on from; `kept` those of them whose steps, and logs, are its own, too. `flow` and `commit`
    are empty where nobody knows; `size` is that of records and files.
    """

    name: str
    changed: float
    ended: bool
    flow: str = ""
    commit: str = ""
    kin: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    frozen: tuple[str, ...] = ()
    size: int = 0
    logs: int = 0
    log_size: int = 0


@dataclass(frozen=True, slots=True)
class Runs:
    """All of them; `leaving` are those whose removal was begun, `strays` files of runs that the ledger does not know."""

    runs: tuple[Run, ...]
    leaving: Mapping[str, Files] = field(default_factory=dict)
    strays: Mapping[str, Files] = field(default_factory=dict)


def read_runs(objects: Objects, ledger: Ledger) -> Runs:
    """Raises DataError when anything cannot be read, damaged records included: nobody knows what they need."""
    records = _folders(objects, "ledger")  # before files: those of a run that comes meanwhile are young
    gone = {name for name, found in records.items() if found.gone}
    files, frozen = _files(objects), _frozen(objects)
    known = {entry.run: entry for entry in ledger.runs(warn=refuse) if entry.run not in gone}
    runs = tuple(_run(name, entry.modified, entry.records, records, files, frozen) for name, entry in known.items())
    leaving = {name: _both(records[name], files.get(name)) for name in gone}
    strays = {name: found for name, found in files.items() if name not in records and name not in known and name not in frozen}
    return Runs(runs, leaving, strays)


def _run(
    name: str, modified: float, records: Records, listed: Mapping[str, Files], files: Mapping[str, Files], frozen: Mapping[str, list[str]]
) -> Run:
    seen, own = Seen.of(name, dict(records)), files.get(name, Files())
    return Run(
        name=name,
        changed=max(modified, own.newest),
        ended=seen.state in ENDED,
        flow=seen.flow,
        commit=seen.commit,
        kin=frozenset(_kin(seen)) - {name},
        kept=frozenset(str(record["kept"]) for record in records.values() if record.get("kept")),
        frozen=tuple(frozen.get(name, ())),
        size=own.size + listed.get(name, Files()).size,
        logs=own.logs,
        log_size=own.log_size,
    )


def _kin(seen: Seen) -> Iterator[str]:
    origin = seen.origin
    yield from (str(origin[name]) for name in ("parent", "retried") if origin.get(name))
    for record in seen.records.values():
        yield from map(str, record.get("children") or ())
        yield from (str(start["run"]) for start in record.get("asked") or () if _names_a_run(start))
        if record.get("kept"):
            yield str(record["kept"])


def _names_a_run(start: Any) -> bool:
    return isinstance(start, Mapping) and "run" in start


def _folders(objects: Objects, folder: str) -> dict[str, Files]:
    found: dict[str, Files] = {}
    for each in objects.list(f"{folder}/"):
        parts = each.key.split("/")
        if len(parts) > 2:
            found.setdefault(parts[1], Files()).add(each)
    return found


def _files(objects: Objects) -> dict[str, Files]:
    found: dict[str, Files] = {}
    for folder in FILES:
        for name, files in _folders(objects, folder).items():
            found[name] = _both(files, found.get(name))
    return found


def _both(one: Files, other: Files | None) -> Files:
    if other is None:
        return one
    return Files(
        one.count + other.count,
        one.size + other.size,
        max(one.newest, other.newest),
        one.logs + other.logs,
        one.log_size + other.log_size,
        one.gone or other.gone,
    )


def _frozen(objects: Objects) -> dict[str, list[str]]:
    """Run -> the digests of the checkpoints that it froze."""
    found: dict[str, list[str]] = {}
    for each in objects.list("frozen/"):
        _, digest, run = each.key.split("/", 2)
        found.setdefault(run, []).append(f"sha256:{digest}")
    return found


def green_runs(objects: Objects, last: int) -> dict[str, str]:
    """The last green runs and nightlies of every flow, and why each is kept. Raises DataError."""
    found: dict[str, str] = {}
    for flow, keys in green_keys(objects).items():
        for run, why in last_green(objects, flow, keys, last):
            found.setdefault(str(run["run"]), why)
    return found


def run_of(name: str) -> str:
    """The run in the name of what passed, `<ended>-<run>`."""
    return name[_STAMP:]


def is_log(key: str) -> bool:
    """Whether it is the log of a step: `runs/<run>/<step>/log`."""
    parts = key.split("/")
    return len(parts) == 4 and parts[0] == "runs" and parts[3] == "log"


def refuse(line: str) -> None:
    """Raises DataError: `line` is about a record that cannot be read."""
    raise DataError(line.removesuffix(": left out"), "nothing is removed while a record cannot be read: nobody knows what it needs")
