"""The only printer. stdout carries the result alone; everything else goes to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

import click

from builder.errors import without_passwords

SCHEMA = 1
"""Of every JSON document. It grows when a key goes away or changes its meaning; a new key leaves it."""

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160)) if chr(code) not in "\n\t"}
_CUT, _LEAST = "SUBJECT", 12
"""The column that is cut where a terminal is narrow, and how narrow a column of text may get."""
_RED, _YELLOW, _DIM = 31, 33, 2


class LostError(Exception):
    """stdout cannot be written. No OSError: click has a mind of its own about those."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def result(line: str) -> None:
    """A line of the result."""
    _write(sys.stdout, line)


def raw(data: bytes) -> None:
    """Bytes of the result as they are: the output of the team's own commands, colours and all."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise LostError(error) from error


def note(text: str) -> None:
    """Something worth knowing while it works."""
    _write(sys.stderr, text)


def warn(text: str) -> None:
    _write(sys.stderr, text, "warning: ", _YELLOW)


def error(message: str, hint: str = "") -> None:
    _write(sys.stderr, message, "error: ", _RED)
    if hint:
        _write(sys.stderr, hint, "hint: ", _DIM)


def document(value: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
    """The result as JSON: an object, or a list of objects, each with its `schema`."""
    import json

    stamped = {"schema": SCHEMA, **value} if isinstance(value, Mapping) else [{"schema": SCHEMA, **item} for item in value]
    _put(sys.stdout, json.dumps(stamped, indent=2) + "\n")


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
    """The result as columns; those named in `right` are aligned to the right. Plain text unless stdout is a terminal."""
    cells = [[clean(cell).replace("\n", " ").replace("\t", " ") for cell in row] for row in rows]
    if is_terminal(sys.stdout):
        _rich_table(headers, cells, right)
        return
    widths = [max(len(row[column]) for row in [list(headers), *cells]) for column in range(len(headers))]
    for row in [list(headers), *cells]:
        aligned = [
            cell.rjust(width) if header in right else cell.ljust(width) for cell, width, header in zip(row, widths, headers, strict=True)
        ]
        result("  ".join(aligned).rstrip())


def _rich_table(headers: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold" if has_colour(sys.stdout) else "")
    console = Console(file=sys.stdout, no_color=not has_colour(sys.stdout))
    fixed = 0  # what never gives way: digests and numbers cannot be read in pieces
    for header, column in zip(headers, zip(*cells, strict=True) if cells else [()] * len(headers), strict=True):
        text = " " in header or (header not in right and any(" " in cell for cell in column))
        fixed += 2 + (_LEAST if text else max(map(len, (header, *column))))
        grid.add_column(header, justify="right" if header in right else "left", overflow="fold", no_wrap=not text)
    for row in cells:
        grid.add_row(*(Text(cell, no_wrap=header == _CUT, overflow="ellipsis") for header, cell in zip(headers, row, strict=True)))
    console.width = max(console.width, fixed)
    console.print(grid)


def clear() -> bool:
    """Empties the terminal that gets the result; False, and nothing is done, where it is none."""
    if is_terminal(sys.stdout):
        _put(sys.stdout, "\x1b[H\x1b[2J\x1b[3J")
    return is_terminal(sys.stdout)


def format_option(*forms: str) -> Callable[[Any], Any]:
    """`-o/--output`, handed to the command as `form`. Without it: `name` when stdout is no terminal, else the first of `forms`."""

    def default(_: click.Context, __: click.Parameter, value: str | None) -> str:
        return value or ("name" if "name" in forms and not is_terminal(sys.stdout) else forms[0])

    meaning = "How to print the result." + (" Default: name when stdout is no terminal." if "name" in forms else "")
    return click.option("-o", "--output", "form", type=click.Choice(forms), callback=default, help=meaning)


def clean(text: str) -> str:
    """Without control characters: names and messages come from repositories and servers, and a terminal would obey them."""
    return text.translate(_CONTROL)


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_colour(stream: TextIO) -> bool:
    """https://no-color.org"""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def _write(stream: TextIO, text: str, label: str = "", colour: int = 0) -> None:
    if label and has_colour(stream):
        label = f"\x1b[{colour}m{label}\x1b[0m"
    said = clean(text) if stream is sys.stdout else clean(without_passwords(text))
    _put(stream, f"{label}{said}\n")


def flush() -> None:
    """Nothing of the result may stay behind unnoticed."""
    _put(sys.stdout, "")


def _put(stream: TextIO, text: str) -> None:
    """Writes and flushes. A stderr that is full or gone is no reason to stop."""
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        if stream is not sys.stderr:
            raise LostError(error) from error


def size(count: int) -> str:
    """`512 B`, `1.2 MB`."""
    from builder.model import units

    return units.size(count)


def duration(seconds: float) -> str:
    """`35 ms`, `0.4 s`, `12 s`, `3 min 05 s`, `1 h 40 min`."""
    from builder.model import units

    return units.duration(seconds)


def plural(count: int, noun: str) -> str:
    """`1 layer`, `3 layers`."""
    from builder.model import units

    return units.plural(count, noun)
