"""The build context of a Dockerfile: exactly the files of the commit that the settings declare."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from builder.errors import DepsError
from builder.image.deps.inputs import CommitFiles
from builder.image.tar import MTIME
from builder.model.globs import DIRECTORY, parse
from builder.model.tree import EXECUTABLE, SYMLINK, Entry


def select(entries: Iterable[Entry], patterns: Sequence[str]) -> tuple[Entry, ...]:
    """The files that any pattern names, sorted by path: a file, a directory (all below it), or a glob as in
    .gitignore, but from the root.

    Raises DepsError for a pattern that names nothing: it is a slip of the pen, or a file that was not committed.
    """
    everything = tuple(entries)
    chosen: dict[bytes, Entry] = {}
    for pattern in patterns:
        regex = _regex(pattern)
        found = {entry.path: entry for entry in everything if _matches(regex, entry.path)}
        if not found:
            raise DepsError(
                f"[image.deps] context names {pattern!r}, which no file of the commit matches", "commit the file, or correct it"
            )
        chosen.update(found)
    return tuple(chosen[path] for path in sorted(chosen))


def export(files: CommitFiles, entries: Sequence[Entry], directory: Path) -> None:
    """Writes the files below `directory`, with a fixed time. Symlinks come last, so that nothing is written through one."""
    for entry, _, chunks in files.stream([entry for entry in entries if entry.mode != SYMLINK]):
        path = _inside(directory, entry)
        with path.open("xb") as file:
            file.writelines(chunks)
        path.chmod(0o755 if entry.mode == EXECUTABLE else 0o644)
    for entry, _, chunks in files.stream([entry for entry in entries if entry.mode == SYMLINK]):
        _inside(directory, entry).symlink_to(os.fsdecode(b"".join(chunks)))
    for path in (directory, *_below(directory)):
        os.utime(path, (MTIME, MTIME), follow_symlinks=False)


def _regex(pattern: str) -> re.Pattern[bytes]:
    if pattern.strip("/") in ("", "."):
        return re.compile(rb".*", re.DOTALL)
    try:
        return re.compile(parse(f"/{pattern.removeprefix('./').lstrip('/')}").regex, re.DOTALL)
    except ValueError as error:
        raise DepsError(f"[image.deps] context: {pattern!r} is no pattern", f"write it with {error}") from error


def _matches(regex: re.Pattern[bytes], path: bytes) -> bool:
    """Whether the pattern names the file or a directory above it."""
    parts = path.split(b"/")
    above = (b"/".join(parts[:count]) + DIRECTORY for count in range(1, len(parts)))
    return any(regex.fullmatch(text) for text in (path, *above))


def _inside(directory: Path, entry: Entry) -> Path:
    path = directory / os.fsdecode(entry.path)
    if ".." in path.parts or not path.is_relative_to(directory):
        raise DepsError(f"{os.fsdecode(entry.path)!r} leads out of the commit's tree")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _below(directory: Path) -> Iterator[Path]:
    for parent, directories, names in os.walk(directory):
        yield from (Path(parent) / name for name in (*directories, *names))
