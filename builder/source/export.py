"""The exact files of a commit, written to a directory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from builder.errors import SourceError
from builder.model.tree import EXECUTABLE, SYMLINK, Entry
from builder.source.repository import Git


def export_files(git: Git, entries: Sequence[Entry], directory: Path) -> None:
    """Writes the files below `directory`, which must be empty or new: bytes, executable bits and symlinks as the commit has them.

    Raises SourceError naming the path that the file system cannot hold.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise SourceError(f"{directory} is not empty", "name a new directory")
    root = os.fsencode(directory)
    # Links last: nothing can then be written through one of them.
    for wanted in (False, True):
        files = [entry for entry in entries if (entry.mode == SYMLINK) is wanted]
        for entry, _, chunks in git.stream(files):
            _write(os.path.join(root, entry.path), entry, chunks)  # noqa: PTH118 - paths of git are bytes


def _write(path: bytes, entry: Entry, chunks: Iterator[bytes]) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        if entry.mode == SYMLINK:
            os.symlink(b"".join(chunks), path)  # noqa: PTH211
            return
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755 if entry.mode == EXECUTABLE else 0o644)
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
    except OSError as error:
        name = entry.path.decode("utf-8", "replace")
        raise SourceError(
            f"cannot write {name}: {error.strerror}", "check the free space, and that names differ by more than case"
        ) from error
