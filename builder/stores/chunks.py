"""A blob that comes in chunks, as a file to read from."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast


class _Chunks(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes], seen: Callable[[int], object]) -> None:
        super().__init__()
        self._chunks, self._seen, self._left = chunks, seen, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer))
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._seen(len(chunk))
            self._left = memoryview(chunk)
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)  # a generator holds a connection or a file until it is closed
        if close is not None:
            close()
        super().close()


def as_file(chunks: Iterator[bytes], seen: Callable[[int], object] = lambda _: None) -> BinaryIO:
    """Reads from `chunks` one at a time; `seen` is told the size of each. Closing it closes a generator."""
    return cast(BinaryIO, io.BufferedReader(_Chunks(chunks, seen), 1 << 16))
