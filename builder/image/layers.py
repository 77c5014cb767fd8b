"""Layers: a deterministic tar, gzipped, with both of its digests. The same files give the same bytes on every machine.

The codec is ISA-L's gzip at level 1: levels 0 to 2 give the same bytes on every CPU, level 3 does not. What it writes also depends on the
library's version and on how its input is cut, so both are part of CODEC, and CODEC is part of every key that names a layer.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from isal import isal_zlib

from builder.errors import StoreError
from builder.image import tar
from builder.model.oci import LAYER_GZIP, Descriptor
from builder.model.tree import SYMLINK

CODEC = "tar1+isal1.9-gzip1-1M"
_CHUNK = 1 << 20
_IN_MEMORY = 8 << 20
# ID1 ID2 CM FLG MTIME(4) XFL OS=255 "unknown" (RFC 1952): written here because the OS byte differs between libraries.
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\x04\xff"


@dataclass(frozen=True, slots=True)
class LayerFile:
    """One entry of a layer. `path` has no leading slash; `mode` is FILE, EXECUTABLE or SYMLINK; `size` in bytes.

    `read` gives the content in chunks that add up to `size` (of a symlink: where it points). It is called once,
    before the next entry is taken.
    """

    path: bytes
    mode: int
    size: int
    read: Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class BuiltLayer:
    """A layer that was written: its descriptor, the digest of its uncompressed tar, and its bytes, as often as wanted.

    `tar_size` is the size of the uncompressed tar.
    """

    descriptor: Descriptor
    diff_id: str
    tar_size: int
    open: Callable[[], BinaryIO]

    def annotated(self, annotations: Mapping[str, str]) -> BuiltLayer:
        return replace(self, descriptor=replace(self.descriptor, annotations={**self.descriptor.annotations, **annotations}))


def write_layer(files: Iterable[LayerFile]) -> BuiltLayer:
    """Writes the files, which must come sorted by path. Holds up to 8 MiB of the result in memory, more in an unnamed file on disk."""
    writer = _Writer()
    for file in files:
        _write_file(writer, file)
    writer.write(tar.end())
    return writer.close()


def _write_file(writer: _Writer, file: LayerFile) -> None:
    if file.mode == SYMLINK:
        writer.write(tar.header(file.path, file.mode, 0, b"".join(file.read())))
        return
    writer.write(tar.header(file.path, file.mode, file.size))
    for chunk in file.read():
        writer.write(chunk)
    writer.write(tar.padding(file.size))


class _Writer:
    """Tar bytes in, in any pieces; both digests and a spool of gzip out. The codec sees chunks of one size only."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._plain = hashlib.sha256()
        self._packed = hashlib.sha256()
        self._codec = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15)
        self._crc = 0
        self._plain_size = 0
        self._spool = _Spool()
        self._emit(_GZIP_HEADER)

    def write(self, data: bytes) -> None:
        self._pending += data
        while len(self._pending) >= _CHUNK:
            self._compress(bytes(memoryview(self._pending)[:_CHUNK]))
            del self._pending[:_CHUNK]

    def close(self) -> BuiltLayer:
        self._compress(bytes(self._pending))
        self._emit(self._codec.flush() + struct.pack("<II", self._crc, self._plain_size & 0xFFFFFFFF))
        descriptor = Descriptor(LAYER_GZIP, "sha256:" + self._packed.hexdigest(), self._spool.size)
        return BuiltLayer(descriptor, "sha256:" + self._plain.hexdigest(), self._plain_size, self._spool.open)

    def _compress(self, chunk: bytes) -> None:
        self._plain.update(chunk)
        self._crc = isal_zlib.crc32(chunk, self._crc)
        self._plain_size += len(chunk)
        self._emit(self._codec.compress(chunk))

    def _emit(self, data: bytes) -> None:
        self._packed.update(data)
        self._spool.write(data)


class _Spool:
    """Bytes that are written once and read from the start many times; large ones lie in a file without a name."""

    def __init__(self) -> None:
        self.size = 0
        self._memory = bytearray()
        self._fd = -1

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self._fd < 0 and self.size <= _IN_MEMORY:
            self._memory += data
            return
        try:
            self._write_to_disk(data)
        except OSError as error:
            raise StoreError(f"cannot write a layer to a temporary file: {error.strerror}", "free some space, or set TMPDIR") from error

    def _write_to_disk(self, data: bytes) -> None:
        if self._fd < 0:
            self._fd = _unnamed_file()
            _write_all(self._fd, self._memory)
            self._memory = bytearray()
        _write_all(self._fd, data)

    def open(self) -> BinaryIO:
        if self._fd < 0:
            return io.BytesIO(self._memory)
        return io.BufferedReader(_At(self, self._fd), buffer_size=_CHUNK)

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


class _At(io.RawIOBase):
    """Reads a file descriptor from a position of its own, so that several readers do not disturb each other."""

    def __init__(self, owner: _Spool, fd: int) -> None:
        self._owner = owner  # keeps the descriptor open
        self._fd = fd
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._owner.size}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # a writable buffer: no name for it before Python 3.12
        count = os.preadv(self._fd, [buffer], self._position)
        self._position += count
        return count


def _unnamed_file() -> int:
    import tempfile

    fd, path = tempfile.mkstemp(prefix="builder-layer-")
    Path(path).unlink()
    return fd


def _write_all(fd: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
