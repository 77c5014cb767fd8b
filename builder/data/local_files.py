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
        if not data and size != 0 and self._seen.hexdigest() != self._expected:
            raise IntegrityError(
                f"{self._what} does not hash to sha256:{self._expected} but to sha256:{self._seen.hexdigest()}",
                "it was changed, or damaged on its way or on its disk",
            )
        return data


def copy_verified(source: BinaryIO, target: BinaryIO, sha256: str, what: str) -> None:
    """Copies to the end. Raises IntegrityError, naming `what`, when the bytes do not hash to `sha256`."""
    reader = HashingReader(source, sha256, what)
    while chunk := reader.read(CHUNK):
        target.write(chunk)


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
