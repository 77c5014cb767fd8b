"""Who writes checkpoints, and who clears away what none of them needs, keep out of each other's way: with objects of the root alone.

A writer relies on files that are there already, and names them only when all are there: until then nothing else says that they are
needed. So it first announces what it is about to name, and then waits while somebody collects; a collector first takes its turn, and
then reads what is announced. Whoever of the two was second sees the other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from builder.data.interface import Found, Objects
from builder.errors import BuilderError, DataError

COMING = "gc/coming"
TURN = "gc/turn"
_MADE = "gc/made"

_LOOK_EVERY = 0.5  # seconds
_STALE = 1800.0
"""Seconds after which a turn that nobody renewed is over: its collector is dead."""
_LONGEST = 900.0
"""Seconds that a collector may take from one look at whose turn it is to the next: when it is stale, writers have gone on."""
_FORGOTTEN = 7 * 86400.0
"""Seconds after which nobody goes on with what was announced."""


@contextmanager
def announced(objects: Objects, named: Iterable[bytes]) -> Iterator[None]:
    """While it lasts nothing is cleared away that `named` names, by digest, wherever in its text. Raises DataError, AuthError."""
    key = f"{COMING}/{os.urandom(16).hex()}"
    objects.put(key, b"\n".join(named))
    began = time.monotonic()
    try:
        while _goes_on(objects, objects.find(TURN), key, began):
            time.sleep(_LOOK_EVERY)
        yield
    finally:
        with suppress(BuilderError):  # what is left over is taken away with what nothing needs
            objects.delete([key])


def _goes_on(objects: Objects, turn: Found | None, key: str, began: float) -> bool:
    """Whether somebody collects, by the root's clock."""
    if turn is None:
        return False
    mine = objects.find(key)
    now = mine.modified + time.monotonic() - began if mine else turn.modified
    return now - turn.modified < _STALE


class Turn:
    """The right to take away. `now` is the root's clock when the turn was taken."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._token = os.urandom(16).hex().encode()
        self._looked = 0.0
        self.now = 0.0

    def take(self) -> None:
        """Raises DataError when somebody else has it."""
        if not self._objects.put(TURN, self._token, new=True):
            self._take_over()
        self._looked = time.monotonic()
        self.check()
        mine = self._objects.find(TURN)
        self.now = mine.modified if mine else 0.0

    def _take_over(self) -> None:
        before, now = self._objects.find(TURN), clock(self._objects)
        if before is not None and now - before.modified < _STALE:
            text = f"somebody else is clearing away in {self._objects.name}, since {now - before.modified:.0f} s"
            raise DataError(text, f"wait until that has ended; one that died counts no more after {_STALE / 60:.0f} minutes")
        self._objects.put(TURN, self._token)

    def check(self) -> None:
        """Before something goes, and then not for long. Raises DataError when it is not this one's turn any more."""
        if self._objects.get(TURN) != self._token:
            raise DataError(f"somebody else began to clear away in {self._objects.name}", "nothing more was removed: try again later")
        if time.monotonic() - self._looked > _LONGEST:
            raise DataError(f"{self._objects.name} answers too slowly to clear away in it", "nothing more was removed: try again later")
        self._looked = time.monotonic()
        self._objects.put(TURN, self._token)  # it is fresh again

    def leave(self) -> None:
        with suppress(BuilderError):
            if self._objects.get(TURN) == self._token:
                self._objects.delete([TURN])


def forget_coming(objects: Objects, now: float) -> None:
    """Takes away what nobody goes on with."""
    objects.delete([found.key for found in objects.list(f"{COMING}/") if now - found.modified >= _FORGOTTEN])


def mark_made(objects: Objects, name: str) -> None:
    """What has this name (64 hex) was there already, and was made again: it counts as new, until somebody names it."""
    objects.put(f"{_MADE}/{name}", b"")


def made(objects: Objects, since: float) -> Iterator[tuple[str, bool]]:
    """Names of what was made again, and whether that was after `since` (seconds since 1970 by the root's clock)."""
    for found in objects.list(f"{_MADE}/"):
        yield found.key.rpartition("/")[2], found.modified > since


def forget_made(objects: Objects, names: Iterable[str]) -> None:
    objects.delete(f"{_MADE}/{name}" for name in names)


@contextmanager
def collecting(objects: Objects) -> Iterator[Turn]:
    """This one's turn. Raises DataError when it is somebody else's."""
    turn = Turn(objects)
    turn.take()
    try:
        yield turn
    finally:
        turn.leave()


def coming(objects: Objects, now: float) -> Iterator[bytes]:
    """What is announced by writers that may go on. Read when one has the turn."""
    for found in objects.list(f"{COMING}/"):
        data = objects.get(found.key) if now - found.modified < _FORGOTTEN else None
        if data is not None:
            yield data


def clock(objects: Objects) -> float:
    """The time by the root's clock, in seconds since 1970. It writes, for a moment."""
    key = f"gc/clock/{os.urandom(16).hex()}"
    objects.put(key, b"")
    try:
        found = objects.find(key)
    finally:
        objects.delete([key])
    if found is None:
        raise DataError(f"{objects.url(key)} was written, and is not there", "look at [data] root")
    return found.modified
