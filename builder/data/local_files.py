"""Files on this machine that go into the data root or come from it: hashed while they are copied, written aside, renamed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from builder.errors import DataError, IntegrityError

CHUNK = 1 << 20


class HashingReader:
    """Reads a stream once, from its beginning to its end, and then knows whether it was the right one."""

    def __init__(self, stream: BinaryIO, sha256: str, what: str) -> None:
        self._stream, self._expected, self._what = stream, sha256, what
        self._seen = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Raises IntegrityError instead of the end, when what came before does not hash to the digest."""
        data = self._stream.read(size)
        self._seen.update(data)
        if not data and size != 0:
            check_hash(self._seen.hexdigest(), self._expected, self._what)
        return data


class HashingWriter:
    """Writes to a stream, from its beginning to its end."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._seen = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._seen.update(data)
        return self._stream.write(data)

    def check(self, sha256: str, what: str) -> None:
        """Raises IntegrityError when what was written does not hash to `sha256`."""
        check_hash(self._seen.hexdigest(), sha256, what)


def check_hash(seen: str, expected: str, what: str) -> None:
    """Raises IntegrityError, naming `what`, when the two differ."""
    if seen != expected:
        raise IntegrityError(
            f"{what} does not hash to sha256:{expected} but to sha256:{seen}", "it was changed, or damaged on its way or on its disk"
        )


def copy_verified(source: BinaryIO, target: BinaryIO, sha256: str, what: str) -> None:
    """Copies to the end. Raises IntegrityError, naming `what`, when the bytes do not hash to `sha256`."""
    reader = HashingReader(source, sha256, what)
    while chunk := reader.read(CHUNK):
        target.write(chunk)


def check_file(file: BinaryIO, sha256: str, what: str) -> None:
    """Reads a file and goes back to its beginning. Raises IntegrityError, naming `what`."""
    reader = HashingReader(file, sha256, what)
    while reader.read(CHUNK):
        pass
    file.seek(0)


@contextmanager
def local_source(path: Path) -> Iterator[BinaryIO]:
    """The file, opened. Raises DataError when it cannot be."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    with file:
        yield file


@contextmanager
def local_target(path: Path) -> Iterator[BinaryIO]:
    """A new file beside `path`, which takes its place when all went well and is gone when not. Raises DataError."""
    aside = path.with_name(f".{path.name[:100]}.{os.urandom(8).hex()}")
    try:
        try:
            with aside.open("xb") as file:
                yield file
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
