"""Progress for people: a bar on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from builder.cli import output
from builder.model.progress import Advance, Progress, Unit

_EVERY = 10.0  # seconds between two lines


def progress() -> Progress:
    """What fits stderr."""
    return Bars() if output.is_terminal(sys.stderr) else Lines()


class Lines:
    """A line every ten seconds, so that a log of a short task stays empty."""

    @contextmanager
    def task(self, title: str, total: int | None = None, unit: Unit = "items") -> Iterator[Advance]:
        lock, done, spoke = threading.Lock(), 0, time.monotonic()

        def advance(amount: int) -> None:
            nonlocal done, spoke
            with lock:
                done += amount
                if time.monotonic() - spoke >= _EVERY:
                    spoke = time.monotonic()
                    output.note(f"{title}: {_amount(done, total, unit)}")

        yield advance


class Bars:
    """A bar with rate and time left; gone when the task ends."""

    @contextmanager
    def task(self, title: str, total: int | None = None, unit: Unit = "items") -> Iterator[Advance]:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
        from rich.progress import Progress as Display

        columns = [DownloadColumn(), TransferSpeedColumn()] if unit == "bytes" else [MofNCompleteColumn()]
        console = Console(stderr=True, no_color=not output.has_colour(sys.stderr))
        text = TextColumn("{task.description}", markup=False)
        with Display(text, BarColumn(), *columns, TimeRemainingColumn(), console=console, transient=True) as display:
            shown = display.add_task(output.clean(title), total=total)
            yield lambda amount: display.advance(shown, amount)


def _amount(done: int, total: int | None, unit: Unit) -> str:
    def text(count: int) -> str:
        return output.size(count) if unit == "bytes" else str(count)

    return text(done) if total is None else f"{text(done)} of {text(total)}"
