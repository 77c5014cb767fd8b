"""What `builder run` says beforehand: how long such a run usually takes, and how long it waits for others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.cli import output

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.cli.starting import Prepared
    from builder.runs.expecting import Coming, Expected


def expecting(maker: Maker, prepared: Prepared) -> Coming:
    """Finds it out while the image is made."""
    from builder.cli.reading import Reader
    from builder.runs.expecting import Coming, expect
    from builder.settings import QueueSettings

    reader, wanted = Reader.beside(maker), prepared.wanted
    at_once = wanted.settings.queue.get(wanted.flow, QueueSettings()).at_once
    return Coming(lambda: expect(reader.ledger, wanted.flow, prepared.on, at_once, reader.connect))


def say_expected(coming: Coming) -> None:
    text = words_of(coming.get())
    if text:
        output.note(f"  {text}")


def words_of(expected: Expected) -> str:
    """`usually 1 h 40 min, queue now ~20 min (2 wait before it)`."""
    usual = f"usually {output.duration(expected.usual)}" if expected.usual is not None else ""
    before = f" ({expected.before} wait before it)" if expected.before else ""
    if expected.queue is None:
        queue = f"queued: all places are taken{before}"
    else:
        queue = f"queue now ~{output.duration(expected.queue)}{before}" if expected.queue else ""
    return ", ".join(filter(None, (usual, queue)))
