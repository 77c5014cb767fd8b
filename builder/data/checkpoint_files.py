"""A checkpoint as files on this machine: read to be frozen, or compared with what it should be."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from builder.data.checkpoint_manifest import Item, Manifest, stays_inside
from builder.data.keys import is_plain_name
from builder.data.local_files import CHUNK
from builder.data.threads import in_threads
from builder.errors import DataError

_HASHING_AT_ONCE = 4


def manifest_of(directory: Path) -> Manifest:
    """Every file below the directory, hashed, and every link; empty directories do not count.

    Raises DataError on a link that leads out of it, on what is neither file, link nor directory, on names with control characters or
    broken UTF-8, and when something cannot be read.
    """
    try:
        top = Path(os.path.realpath(directory, strict=True))
        return Manifest.of(in_threads(lambda path: _item(top, path), list(_below(top, "")), _HASHING_AT_ONCE))
    except OSError as error:
        raise DataError(f"{error.filename or directory} cannot be read: {error.strerror}") from error


def _below(top: Path, folder: str) -> Iterator[str]:
    with os.scandir(top / folder) as found:
        entries = list(found)
    for entry in entries:
        if not is_plain_name(entry.name):
            raise DataError(f"{entry.path!r} cannot be frozen: control characters or broken UTF-8 in its name", "give it another name")
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _below(top, path)
        else:
            yield path


def _item(top: Path, path: str) -> Item:
    file = top / path
    seen = file.lstat()
    if stat.S_ISLNK(seen.st_mode):
        return Item(path, link=_link(top, path))
    if not stat.S_ISREG(seen.st_mode):
        raise DataError(f"{file} cannot be frozen: it is neither a file nor a link", "take it away")
    size, sha256 = _hash(file)
    return Item(path, size, sha256, bool(seen.st_mode & stat.S_IXUSR))


def _link(top: Path, path: str) -> str:
    target = os.readlink(top / path)  # noqa: PTH115 - Path would change its text
    if not stays_inside(path, target) or not leads_inside(top, path):
        raise DataError(f"{top / path} cannot be frozen: it leads out of the checkpoint, to {target!r}", "put the file itself there")
    return target


def leads_inside(top: Path, path: str) -> bool:
    """Whether the link at `path` leads to a place in `top`, through whatever other links there are. `top` has none itself."""
    return Path(os.path.realpath(top / path)).is_relative_to(top)


def _hash(file: Path) -> tuple[int, str]:
    """Size and sha256 of the bytes that were read."""
    seen, size = hashlib.sha256(), 0
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            seen.update(chunk)
            size += len(chunk)
    return size, seen.hexdigest()
