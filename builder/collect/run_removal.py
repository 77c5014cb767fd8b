"""Takes runs out of the data root, so that whoever looks finds a run whole, or nothing of it.

First a record says that the run is gone: from then on the ledger does not know it, and what a killed one leaves is garbage that the next
one takes away. Then go what names the run (`identities/`, `green/`) or can only be found through its records, these, that record, and last
its files, which are found by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from builder.collect.run_facts import FILES, run_of
from builder.collect.things import GONE, REMOVED, USED
from builder.data.interface import Found, Objects
from builder.data.ledger import GONE as MARK
from builder.data.ledger import Ledger
from builder.data.threads import in_threads
from builder.launch.jobset.manifest import name_of
from builder.runs.cleared import CLEARED

_AT_ONCE = 64
_NAMING = ("identities", "green")
_ATTEMPTS = 32
"""How many attempts of a step are looked for where gangs of pods keep their files."""


@dataclass(frozen=True, slots=True)
class Removal:
    """Where is removed. A run that somebody is about to go on with has something that was written after `used` (seconds since 1970 by
    the root's clock).
    """

    objects: Objects
    ledger: Ledger
    used: float

    def runs(self, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Each with what became of it. Raises DataError, AuthError: what was not told of is there whole, or known to nobody."""
        everywhere = self._everywhere(names)
        for start in range(0, len(names), _AT_ONCE):
            yield from self._some(names[start : start + _AT_ONCE], everywhere)

    def rest(self, names: Sequence[str]) -> None:
        """What was left of runs that the ledger does not know any more, or is told to forget."""
        everywhere = self._everywhere(names)
        for start in range(0, len(names), _AT_ONCE):
            self._delete(names[start : start + _AT_ONCE], everywhere)

    def _some(self, names: Sequence[str], everywhere: _Everywhere) -> Iterator[tuple[str, str]]:
        there = [name for name, known in zip(names, in_threads(self.ledger.read, names), strict=True) if known]
        in_threads(self.ledger.withdraw, there)
        used = [name for name, is_used in zip(there, in_threads(self._is_used, there), strict=True) if is_used]
        in_threads(self.ledger.restore, used)
        going = [name for name in there if name not in used]
        self._delete(going, everywhere)
        for name in names:
            yield name, REMOVED if name in going else USED if name in used else GONE

    def _is_used(self, name: str) -> bool:
        return any(found.modified > self.used for found in self._files(name) if not found.key.endswith(f"/{CLEARED}"))

    def _files(self, name: str) -> Iterator[Found]:
        for folder in FILES:
            yield from self.objects.list(f"{folder}/{name}/")

    def _delete(self, names: Sequence[str], everywhere: _Everywhere) -> None:
        records = _keys(in_threads(lambda name: list(self.objects.list(f"ledger/{name}/")), names))
        files = _keys(in_threads(lambda name: list(self._files(name)), names))
        marks = [key for key in records if key.endswith(f"/{MARK}.json")]
        self.objects.delete([key for name in names for key in everywhere.naming.get(name, ())])
        self.objects.delete([found.key for name in names for found in self._news(name)])
        self.objects.delete([found.key for gang in _gangs(records, everywhere.gangs) for found in self.objects.list(f"jobs/{gang}/")])
        self.objects.delete([key for key in records if key not in marks])
        self.objects.delete(marks)
        self.objects.delete(files)

    def _news(self, name: str) -> Iterator[Found]:
        """That people were told of it."""
        for found in self.objects.list(f"notify/{name}"):
            if found.key.startswith((f"notify/{name}/", f"notify/{name}.")):
                yield found

    def _everywhere(self, names: Iterable[str]) -> _Everywhere:
        wanted, naming = frozenset(names), dict[str, list[str]]()
        for folder in _NAMING:
            for each in self.objects.list(f"{folder}/"):
                run = run_of(each.key.rpartition("/")[2])
                if run in wanted:
                    naming.setdefault(run, []).append(each.key)
        return _Everywhere(naming, frozenset(self.objects.folders("jobs/")))


@dataclass(frozen=True, slots=True)
class _Everywhere:
    """What is not found by a run's name: by run, the keys of what says that it passed; and where gangs of pods met, whosever."""

    naming: Mapping[str, Sequence[str]]
    gangs: frozenset[str]


def _keys(lists: Iterable[list[Found]]) -> list[str]:
    return [found.key for each in lists for found in each]


def _gangs(records: Iterable[str], known: frozenset[str]) -> Iterator[str]:
    """Where gangs of the steps met that have these records, as far as that is there."""
    if known:
        steps = (key.removesuffix(".json").split("/")[1:] for key in records)
        names = (name_of(run, step, attempt) for run, step, *_ in steps for attempt in range(_ATTEMPTS))
        yield from (name for name in names if name in known)
