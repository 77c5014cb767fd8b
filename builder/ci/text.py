"""YAML as people write it: comments and all, which the libraries for it do not write."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator

_PLAIN = re.compile(r"[A-Za-z_/$.<][A-Za-z0-9 _/$.=<>{}()'@,+-]*\Z")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null"})
_WIDTH = 110


def scalar(text: str) -> str:
    """A string, in quotes where YAML would take it for something else. https://yaml.org/spec/1.2.2/#733-plain-style"""
    plain = _PLAIN.match(text) and text.strip() == text and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


def flow(pairs: Iterable[tuple[str, str]]) -> str:
    """A mapping on one line."""
    return "{ " + ", ".join(f"{name}: {inside(value)}" for name, value in pairs) + " }"


def inside(text: str) -> str:
    """A string in a list or a mapping on one line."""
    return json.dumps(text, ensure_ascii=False) if set(text) & set(",{}[]") else scalar(text)


def comment(text: str, indent: int = 0) -> Iterator[str]:
    before = " " * indent + "# "
    yield from textwrap.wrap(text, _WIDTH, initial_indent=before, subsequent_indent=before, break_on_hyphens=False)


def indented(lines: Iterable[str], by: int) -> Iterator[str]:
    for line in lines:
        yield " " * by + line if line else line
