"""What was told, in the data root: a journal of which every entry is written once, under the number after the last one.

Of two that look at once one gets the number, and tells; the other finds nothing new any more. An entry says whether it was sent: one whose
writer died before counts for nothing after a while, so that the next look tells it.

watch/journal/<number>.json     what was open after a look that had news
watch/last.json                 when somebody looked last
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from builder.data.interface import Objects
from builder.data.ledger import now as clock
from builder.errors import DataError
from builder.watch.news import Memory, Open

_FOLDER, _LAST = "watch/journal/", "watch/last.json"
_SENDING = 600.0  # seconds after which nobody sends any more
_KEPT = 10
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Page:
    """The newest entry. `busy`: somebody else is sending what it says."""

    number: int
    memory: Memory
    busy: bool = False


class Journal:
    """All raise DataError, AuthError."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def read(self) -> Page:
        """The newest entry; number 0 and nothing when there is none."""
        while numbers := self._numbers():
            number = numbers[-1]
            data = self._objects.get(_key(number))
            if data is not None:
                return self._page(number, data)
        return Page(0, {})

    def claim(self, page: Page, memory: Memory) -> int:
        """The number of the new entry, which follows `page` and is not sent yet; 0 when somebody else wrote one meanwhile."""
        number = page.number + 1
        text = _text(memory, page.memory, sent=False)
        if not self._objects.put(_key(number), text, new=True):
            return 0
        if self._numbers()[-1] != number:  # so long ago that entries after it came, and went
            self._objects.delete([_key(number)])
            return 0
        return number

    def confirm(self, number: int, memory: Memory) -> None:
        """The entry's news are told, or (with the memory of before) never will be. Older entries go away."""
        self._objects.put(_key(number), _text(memory, {}, sent=True))
        self._objects.delete([_key(old) for old in self._numbers()[:-_KEPT]])

    def looked(self) -> None:
        self._objects.put(_LAST, json.dumps({"at": clock()}).encode())

    def last_look(self) -> str:
        """When somebody looked last, as the ledger writes times; empty when nobody did."""
        try:
            return str(json.loads(self._objects.get(_LAST) or b"{}").get("at", ""))
        except (ValueError, AttributeError):
            return ""

    def _numbers(self) -> list[int]:
        names = (found.key.removeprefix(_FOLDER).removesuffix(".json") for found in self._objects.list(_FOLDER))
        return sorted(int(name) for name in names if name.isdecimal())

    def _page(self, number: int, data: bytes) -> Page:
        try:
            entry: dict[str, Any] = json.loads(data)
            memory = _memory(entry["open"])
            if entry["schema"] != _SCHEMA:
                raise ValueError(f"its schema is {entry['schema']!r}")
            if entry["sent"]:
                return Page(number, memory)
            return Page(number, _memory(entry["before"]), busy=time.time() - float(entry["at"]) < _SENDING)
        except (ValueError, LookupError, TypeError) as error:
            url = self._objects.url(_key(number))
            raise DataError(f"{url} cannot be read: {error}", "delete it: the next look tells again what it knew") from error


def _key(number: int) -> str:
    return f"{_FOLDER}{number:012}.json"


def _text(memory: Memory, before: Memory, *, sent: bool) -> bytes:
    import msgspec

    entry = {"schema": _SCHEMA, "at": time.time(), "sent": sent, "open": memory, "before": before}
    return msgspec.json.encode(entry)


def _memory(raw: Any) -> Memory:
    import msgspec

    try:
        return msgspec.convert(raw, dict[str, Open])
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
