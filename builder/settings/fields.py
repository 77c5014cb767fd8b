"""How a key of a table is declared: its default, what it means, what it must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any


def key(default: Any, meaning: str, check: Callable[[Any], None] | None = None) -> Any:
    """A key of a table: `meaning` goes to the reference, `check` raises ValueError(what was expected)."""
    return field(default=default, metadata={"meaning": meaning, "check": check})


def table(meaning: str, check: Callable[[Any], None] | None = None) -> Any:
    """A key whose value is a table, empty by default."""
    return field(default_factory=dict, metadata={"meaning": meaning, "check": check})
