"""The little of JSONPath that finds a number in a document: `$.click.acc`, `$.runs[0]['top 1']`: keys and places in lists."""

from __future__ import annotations

import functools
import re
from typing import Any

_PART = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[['\"]([^'\"]+)['\"]\]")


def parse(path: str) -> tuple[str | int, ...]:
    """Its keys, and places in lists. Raises ValueError naming what cannot be read."""
    rest = path.removeprefix("$")
    rest = rest if rest.startswith((".", "[")) else f".{rest}"
    found: list[str | int] = []
    while rest:
        match = _PART.match(rest)
        if not match:
            raise ValueError(f"{rest} cannot be read")
        found.append(int(match[2]) if match[2] else match[1] or match[3])
        rest = rest[match.end() :]
    return tuple(found)


def look_up(document: Any, path: str) -> Any:
    """What is there. Raises LookupError naming what is missing, ValueError on what is no path."""
    return functools.reduce(_inside, parse(path), document)


def _inside(document: Any, part: str | int) -> Any:
    try:
        return document[part]
    except (KeyError, IndexError, TypeError) as error:
        raise LookupError(f"no {part}") from error
