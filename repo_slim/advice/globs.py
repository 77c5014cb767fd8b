"""Globs of the plan that stand for one path."""

from __future__ import annotations

_SPECIAL = {"*": "[*]", "?": "[?]", "[": "[[]"}


def glob_of(path: str) -> str:
    """Matches this path, from the top. A `?` stands for what cannot be written: control characters, bytes that are no UTF-8."""
    text = "".join(_SPECIAL.get(char, char) if char.isprintable() else "?" for char in path)
    return text if "/" in text else f"/{text}"
