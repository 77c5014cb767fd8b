"""The port through which long work says how far it is. Silent unless the caller gives something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, Protocol

Unit = Literal["bytes", "items"]
Advance = Callable[[int], None]


class Progress(Protocol):
    """Where work is shown."""

    def task(self, title: str, total: int | None = None, unit: Unit = "items") -> AbstractContextManager[Advance]:
        """`with progress.task("archiving", size, "bytes") as advance: advance(len(chunk))`, from any thread."""


class Silent:
    """Shows nothing."""

    @contextmanager
    def task(self, title: str, total: int | None = None, unit: Unit = "items") -> Iterator[Advance]:  # noqa: ARG002
        yield lambda _: None


SILENT = Silent()
