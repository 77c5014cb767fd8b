"""Patterns of `image.exclude`: those of .gitignore, less the few spellings that git itself reads in surprising ways.

https://git-scm.com/docs/gitignore#_pattern_format
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DIRECTORY = b"\0"
"""Stands after the name of a directory when it is matched: no path can hold it."""


@dataclass(frozen=True, slots=True)
class Glob:
    """`regex` is for `fullmatch` on a path (or on its last part alone, when `by_name`), a directory's followed by DIRECTORY."""

    regex: bytes
    by_name: bool
    keeps: bool


def parse(pattern: str) -> Glob:
    """Raises ValueError(what is wrong) on what is no pattern."""
    keeps = pattern.startswith("!")
    body = pattern[1:] if keeps else pattern
    only_directories = body.endswith("/")
    body = body.removesuffix("/")
    by_name = "/" not in body
    parts = body.removeprefix("/").split("/")
    _refuse_traps(pattern, parts)
    regex = _name(parts[0]) if by_name else _path(parts)
    return Glob(regex + (DIRECTORY if only_directories else DIRECTORY + b"?"), by_name, keeps)


def _refuse_traps(pattern: str, parts: list[str]) -> None:
    if pattern.startswith("#"):
        raise ValueError(f'no comment: "{pattern}" (a name that begins so is written with a backslash before it)')
    if any(character in pattern for character in "\0\n\r"):
        raise ValueError("no NUL and no line break")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(f'names between the slashes, without "." and "..": "{pattern}"')
    if any("**" in part and part != "**" for part in parts):
        raise ValueError(f'** alone between slashes: "{pattern}"')
    if "[:" in pattern:
        raise ValueError(f'no character classes by name: "{pattern}"')


def _path(parts: list[str]) -> bytes:
    last = len(parts) - 1
    regex = b""
    for index, part in enumerate(parts):
        if part == "**":
            regex += b".+" if index == last else b"(?:.*/)?"
        else:
            regex += _name(part) + (b"" if index == last else b"/")
    return regex


def _name(part: str) -> bytes:
    """One part between slashes."""
    rest, regex = part.encode("utf-8", "surrogateescape"), b""
    while rest:
        head, rest = rest[:1], rest[1:]
        if head == b"*":
            rest = rest.lstrip(b"*")
            regex += rb"[^/\0]*"
        elif head == b"?":
            regex += rb"[^/\0]"
        elif head == b"[":
            piece, rest = _bracket(rest, part)
            regex += piece
        elif head == b"\\":
            if not rest:
                raise ValueError(f'something after the backslash: "{part}"')
            regex, rest = regex + re.escape(rest[:1]), rest[1:]
        else:
            regex += re.escape(head)
    return regex


def _bracket(rest: bytes, part: str) -> tuple[bytes, bytes]:
    """`abc]`, `!a-z]`, `^]x]` and so on: the regex, and what follows the closing bracket."""
    negated = rest[:1] in (b"!", b"^")
    rest = rest[1:] if negated else rest
    body, first = b"", True
    while first or rest[:1] != b"]":
        low, rest = _member(rest, part)
        if rest[:1] == b"-" and rest[1:2] not in (b"]", b""):
            high, rest = _member(rest[1:], part)
            body += re.escape(low) + b"-" + re.escape(high) if low <= high else b""
        else:
            body += re.escape(low)
        first = False
    if not body:  # only ranges that run backwards: nothing is in them
        return (rb"[^/\0]" if negated else rb"(?!)"), rest[1:]
    return rb"(?![/\0])[" + (b"^" if negated else b"") + body + b"]", rest[1:]


def _member(rest: bytes, part: str) -> tuple[bytes, bytes]:
    skip = 1 if rest[:1] == b"\\" else 0
    if len(rest) <= skip:
        raise ValueError(f'a closing bracket: "{part}"')
    return rest[skip : skip + 1], rest[skip + 1 :]
