"""The build context of a Dockerfile: exactly the files of the commit that the settings declare."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from builder.errors import DepsError
from builder.image.deps.inputs import CommitFiles
from builder.image.tar import MTIME
from builder.model.tree import EXECUTABLE, SYMLINK, Entry

_GLOB = re.compile(r"(\*\*/|\*\*|\*|\?)")
_AS_REGEX = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def select(entries: Iterable[Entry], patterns: Sequence[str]) -> tuple[Entry, ...]:
    """The files that any pattern names, sorted by path: a file, a directory (all below it), or a glob (`*` within a name, `**` across).

    Raises DepsError for a pattern that names nothing: it is a slip of the pen, or a file that was not committed.
    """
    everything = tuple(entries)
    chosen: dict[bytes, Entry] = {}
    for pattern in patterns:
        matches = _matcher(pattern)
        found = {entry.path: entry for entry in everything if matches.match(os.fsdecode(entry.path))}
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


def _matcher(pattern: str) -> re.Pattern[str]:
    parts = _GLOB.split(pattern.strip("/"))
    text = "".join(_AS_REGEX.get(part, re.escape(part)) for part in parts)
    return re.compile(r".*" if pattern.strip("/") in ("", ".") else rf"{text}(?:/.*)?\Z", re.DOTALL)


def _inside(directory: Path, entry: Entry) -> Path:
    path = directory / os.fsdecode(entry.path)
    if ".." in path.parts or not path.is_relative_to(directory):
        raise DepsError(f"{os.fsdecode(entry.path)!r} leads out of the commit's tree")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _below(directory: Path) -> Iterator[Path]:
    for parent, directories, names in os.walk(directory):
        yield from (Path(parent) / name for name in (*directories, *names))
