"""From .dockerignore to image.exclude. Both have patterns, but not the same ones.

A .dockerignore pattern begins at the root, and an exception brings back what lies below an ignored directory; in .gitignore (and here)
a pattern without a slash holds anywhere, and below an excluded directory nothing comes back.
https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

from builder.image.exclude import Excludes
from builder.model.globs import parse

_WILD = frozenset("*?[\\")
_GIT = ".git"


@dataclass(frozen=True, slots=True)
class Translated:
    """`patterns` for image.exclude; `left_out` are lines that have no translation, as they were."""

    patterns: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def translate(text: str, files: Container[str] = ()) -> Translated:
    """Excludes what Docker would ignore, of tracked files (so nothing is said of .git). `files` are known to be no directories."""
    patterns: list[str] = []
    left_out: list[str] = []
    for line in _lines(text):
        added = _translate(line, patterns, files)
        if added is None:
            left_out.append(line)
        else:
            patterns += added
    return Translated(tuple(patterns), tuple(left_out))


def _lines(text: str) -> Iterator[str]:
    for raw in text.removeprefix("\ufeff").splitlines():
        line = raw.strip()
        if line and not raw.startswith("#") and line != "!":
            yield line


def _translate(line: str, before: list[str], files: Container[str]) -> list[str] | None:
    keeps = line.startswith("!")
    parts = [part for part in line.removeprefix("!").strip().split("/") if part not in ("", ".")]
    if not parts or parts[0] == _GIT or parts == ["**", _GIT]:
        return []
    if parts == ["**"]:
        parts = ["*"]  # everything: the same, and exceptions can follow
    anchored = "/" + "/".join(parts)
    if ".." in parts or not _is_pattern(anchored):
        return None
    if not keeps:
        return [anchored]
    back = _bring_back(parts, before)
    whole = [] if anchored[1:] in files or parts[-1] == "**" else [f"!{anchored}/**"]
    return None if back is None else [*back, *whole]


def _bring_back(parts: list[str], before: list[str]) -> list[str] | None:
    """`!a/b` where `a` is excluded: bring `a` back, then exclude what else is in it."""
    if any(_WILD & set(part) for part in parts[:-1]):
        return None
    added: list[str] = []
    for depth in range(1, len(parts)):
        directory = "/" + "/".join(parts[:depth])
        if Excludes([*before, *added]).directory(directory[1:].encode()):
            added += [f"!{directory}/", f"{directory}/*"]
    return [*added, "!/" + "/".join(parts)]


def _is_pattern(pattern: str) -> bool:
    try:
        parse(pattern)
    except ValueError:
        return False
    return True
