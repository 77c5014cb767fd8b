"""When a request is sent again, and how long to wait before.

Backoff with full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar

from builder.errors import StoreError

T = TypeVar("T")

TRANSIENT = frozenset({429, 500, 502, 503, 504})
"""Statuses that a later request may not get. No other 4xx is ever sent again."""


class TransientError(StoreError):
    """It may work a little later. `after`: seconds the server asked to wait, else 0; `brief`: what it did, after its name."""

    def __init__(self, message: str, hint: str = "", after: float = 0.0, brief: str = "has trouble") -> None:
        super().__init__(message, hint or "the registry or the network is in trouble: try again in a minute")
        self.after = after
        self.brief = brief


@dataclass(frozen=True, slots=True)
class Retry:
    """At most `tries` requests for one thing, and waits of at most `longest` seconds between them: that bounds the whole.

    What the server asks for with Retry-After counts, up to `longest`. `tell` hears of each failure that is
    followed by another try, with its number from 1. `sleep`, `jitter` (0..1) and `clock` are injected by tests.
    """

    tries: int = 6
    first: float = 0.2
    longest: float = 20.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    tell: Callable[[TransientError, int], None] = lambda error, tried: None  # noqa: ARG005

    def run(self, attempt: Callable[[int], T]) -> T:
        """Calls `attempt(0)`, `attempt(1)`, ... until one does not raise TransientError; the last one's error goes up."""
        tried = 0
        while True:
            try:
                return attempt(tried)
            except TransientError as error:  # noqa: PERF203 - the loop is there for this error
                tried += 1
                self.pause(error, tried)

    def pause(self, error: TransientError, tried: int) -> None:
        """Waits before the next try, or raises `error` when there is none left."""
        if tried >= self.tries:
            raise error
        self.tell(error, tried)
        self.sleep(min(error.after, self.longest) or self.jitter() * min(self.first * 2 ** (tried - 1), self.longest))


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float:
    """Seconds of a Retry-After header, which is a number or a date (RFC 9110, 10.2.3); 0 when there is none or it is nonsense."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now()) if text else 0.0
    except (ValueError, OverflowError):
        return 0.0
