"""Says now and then that a server takes its time: nobody should look at a silent terminal for a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from builder.stores.registry.retry import TransientError

Notice = Callable[[str], None]
"""Tells a person one line."""


def silent(_: str) -> None:
    """Tells nobody."""


class Patience:
    """One host's. `notice` gets a line at once when something is tried again, and after `seconds` without an answer.

    Never two lines within `seconds`, however many threads wait.
    """

    def __init__(self, host: str, notice: Notice = silent, seconds: float = 5.0) -> None:
        self._host, self._notice, self._seconds = host, notice, seconds
        self._lock = threading.Lock()
        self._spoke = float("-inf")
        self._tried = 0

    def again(self, error: TransientError, tried: int) -> None:
        """`error` was the result of try number `tried`, and another one follows."""
        self._tried = tried
        self._say(f"{self._host} {error.brief}, trying again")

    @contextmanager
    def waiting(self) -> Iterator[Callable[[], None]]:
        """Round a request; what it gives is called when everything is sent and the wait begins."""
        if self._notice is silent:
            yield lambda: None
            return
        ended = threading.Event()
        waiter = threading.Thread(target=self._watch, args=(ended,), daemon=True)
        try:
            yield waiter.start
        finally:
            ended.set()

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(self._seconds):
            tried = f" (tried {self._tried} times)" if self._tried > 1 else " (tried once)" if self._tried else ""
            self._say(f"still waiting for {self._host}{tried}")

    def _say(self, line: str) -> None:
        with self._lock:
            if time.monotonic() - self._spoke < self._seconds:
                return
            self._spoke = time.monotonic()
        self._notice(line)

    def answered(self) -> None:
        self._tried = 0
