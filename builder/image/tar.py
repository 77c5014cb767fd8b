"""Tar entries whose bytes depend on nothing but path, mode and content.

ustar headers (POSIX.1-1988), with a PAX header (POSIX.1-2001) only where a path or link target exceeds 100 bytes or a file 8 GiB.
No entries for parent directories: they would overwrite the permissions of the base's directories, or replace its symlinks.
"""

from __future__ import annotations

from builder.model.tree import EXECUTABLE, SYMLINK

BLOCK = 512
MTIME = 315619200
"""1980-01-02 in UTC: zip files cannot hold anything before 1980, in any time zone."""

_NAME_MAX = 100
_SIZE_MAX = 0o77777777777
_END = bytes(2 * BLOCK)
_FILE_TYPE, _LINK_TYPE, _PAX_TYPE = b"0", b"2", b"x"


def header(path: bytes, mode: int, size: int, target: bytes = b"") -> bytes:
    """The header block(s) of one entry; `target` is where a symlink points, and its `size` is 0."""
    extra = _pax_records(path, size, target)
    prefix = _pax_header(extra) if extra else b""
    if mode == SYMLINK:
        return prefix + _block(path, 0o777, 0, _LINK_TYPE, target)
    return prefix + _block(path, 0o755 if mode == EXECUTABLE else 0o644, size, _FILE_TYPE, b"")


def padding(size: int) -> bytes:
    """What fills the last block of a file of `size` bytes."""
    return bytes(-size % BLOCK)


def end() -> bytes:
    """What ends an archive."""
    return _END


def _block(path: bytes, mode: int, size: int, kind: bytes, target: bytes) -> bytes:
    head = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0" % (_fixed(path), mode, 0, 0, min(size, _SIZE_MAX), MTIME)
    tail = b"%s%sustar\00000" % (kind, _fixed(target))
    checksum = sum(head) + 8 * ord(" ") + sum(tail)
    return (head + b"%06o\0 " % checksum + tail).ljust(BLOCK, b"\0")


def _fixed(name: bytes) -> bytes:
    return name[:_NAME_MAX].ljust(_NAME_MAX, b"\0")


def _pax_records(path: bytes, size: int, target: bytes) -> bytes:
    records = [(b"path", path)] if len(path) > _NAME_MAX else []
    records += [(b"linkpath", target)] if len(target) > _NAME_MAX else []
    # POSIX wants values in UTF-8 unless the header says that they are bytes as they came.
    if any(not _is_utf8(value) for _, value in records):
        records.insert(0, (b"hdrcharset", b"BINARY"))
    records += [(b"size", b"%d" % size)] if size > _SIZE_MAX else []
    return b"".join(_record(key, value) for key, value in records)


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, where LENGTH counts its own digits too."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest) + len(str(len(rest)))
    if len(str(length)) + len(rest) != length:
        length += 1
    return b"%d%s" % (length, rest)


def _pax_header(records: bytes) -> bytes:
    return _block(b"PaxHeader", 0o644, len(records), _PAX_TYPE, b"") + records + padding(len(records))


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
