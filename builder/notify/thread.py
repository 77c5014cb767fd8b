"""All messages of a run in one thread, whichever pods send them and however many at once.

notify/<run>.json     the thread that the first message began
notify/<run>.first    whoever writes it sends the first message; the others wait for the thread
"""

from __future__ import annotations

import json
import time

from builder.data.interface import Objects
from builder.data.ledger import now
from builder.errors import BuilderError
from builder.notify.interface import Notifier

_PATIENCE, _LOOK_EVERY = 3.0, 0.2  # seconds


class Thread:
    """The messages of one run."""

    def __init__(self, notifier: Notifier, objects: Objects, run: str) -> None:
        self._notifier = notifier
        self._objects = objects
        self._key, self._claim = f"notify/{run}.json", f"notify/{run}.first"

    def send(self, text: str, *, loud: bool = False) -> None:
        """The run's first message begins the thread. One whose thread cannot be known in time stands by itself. Raises NotifyError."""
        if not self._notifier.has_threads:
            self._notifier.send(text)
        elif thread := self._known():
            self._notifier.send(text, thread, loud=loud)
        elif self._objects.put(self._claim, json.dumps({"since": now()}).encode(), new=True):
            self._begin(text)
        else:
            self._notifier.send(text, self._awaited(), loud=loud)

    def _begin(self, text: str) -> None:
        try:
            thread = self._notifier.send(text)
        except BuilderError:
            self._objects.delete([self._claim])  # the next one begins it
            raise
        self._objects.put(self._key, json.dumps({"thread": thread}).encode(), new=True)

    def _awaited(self) -> str:
        deadline = time.monotonic() + _PATIENCE
        while not (thread := self._known()) and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY)
        return thread

    def _known(self) -> str:
        data = self._objects.get(self._key)
        return str(json.loads(data)["thread"]) if data else ""
