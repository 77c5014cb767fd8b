"""Lock files: the requirements format of pip and uv, cut down to what can be installed the same way everywhere.

A line is `name[extras]==version ; marker --hash=sha256:...`. Everything that would make the result depend on something else than the
line itself (other files, indexes, URLs, paths, version control, environment variables) is refused.
Format: https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from builder.errors import DepsError

HINT = "make a lock with: uv pip compile --generate-hashes --no-emit-index-url pyproject.toml -o requirements.lock"

_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"\s--hash[=\s]\s*(\S+)")
_STRONG = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_PINNED = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?P<extras>\[[A-Za-z0-9._,\s-]*\])?\s*"
    r"==\s*(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)\s*(?:;\s*(?P<marker>[\w\s.'\"()<>=!~,+*-]+))?"
)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One package of a lock: its normalised name, what stands for it without hashes, and the hashes it may have."""

    name: str
    text: str
    hashes: tuple[str, ...]


def normalise(name: str) -> str:
    """Names that mean one package become equal. https://packaging.python.org/en/latest/specifications/name-normalization/"""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse(data: bytes, where: str) -> tuple[Requirement, ...]:
    """Every package of the lock, in its order. Raises DepsError that names `where` and the line of the first thing that cannot be."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DepsError(f"{where} is not text in UTF-8", HINT) from error
    return tuple(_requirement(line, f"{where}:{number}") for number, line in _logical_lines(text))


def without(requirements: Iterable[Requirement], provided: Iterable[str], where: str) -> tuple[Requirement, ...]:
    """The packages less those that the base has. Raises DepsError for a provided name that the lock does not hold."""
    kept = tuple(requirements)
    names = {requirement.name for requirement in kept}
    for name in provided:
        if normalise(name) not in names:
            near = difflib.get_close_matches(normalise(name), names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"take it out of [image.deps] provided, or add it to {where}"
            raise DepsError(f"[image.deps] provided names {name!r}, which {where} does not hold", hint)
    left_out = {normalise(name) for name in provided}
    return tuple(requirement for requirement in kept if requirement.name not in left_out)


def to_text(requirements: Iterable[Requirement]) -> str:
    """A lock with only these packages, in the same format."""
    return "".join(f"{r.text} {' '.join(f'--hash={h}' for h in r.hashes)}\n" for r in requirements)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines joined at a trailing backslash, without comments, with the number of the first."""
    held, start = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = _COMMENT.sub("", raw).strip()
        start = start if held else number
        if line.endswith("\\"):
            held += line[:-1] + " "
        elif held or line:
            joined, held = (held + line).strip(), ""
            if joined:
                yield start, joined
    if held.strip():
        yield start, held.strip()


def _requirement(line: str, where: str) -> Requirement:
    hashes = tuple(_HASH.findall(line))
    text = _HASH.sub("", line).strip()
    match = _PINNED.fullmatch(text)
    if match is None:
        raise _refused(text, where)
    if not hashes:
        raise DepsError(f"{where}: {text} has no --hash", HINT)
    for value in hashes:
        if not _STRONG.fullmatch(value):
            raise DepsError(f"{where}: {value} is not a sha256, sha384 or sha512 hash in lower case", HINT)
    return Requirement(normalise(match["name"]), text, tuple(sorted(set(hashes))))


def _refused(text: str, where: str) -> DepsError:
    hidden = _without_secrets(text)
    shown = hidden if len(hidden) <= 100 else hidden[:97] + "..."
    if text.startswith("-"):
        return DepsError(f"{where}: {shown} is an option; a lock may only list packages", HINT)
    if "@" in text or "://" in text or text.startswith((".", "/", "~")):
        hint = "install it in a Dockerfile instead ([image.deps] dockerfile), or use a released version of it"
        return DepsError(f"{where}: {shown} is a URL or a path; a lock may only hold released packages", hint)
    if re.search(r"\s--?[a-z]", text):
        return DepsError(f"{where}: {shown} has options besides --hash", HINT)
    return DepsError(f"{where}: {shown} is not pinned as name==version", HINT)


def _without_secrets(text: str) -> str:
    return re.sub(r"://[^/@\s]*@", "://***@", text)
