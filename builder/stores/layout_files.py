"""The files of an OCI layout: where they are, and how they are written and read.

What is written is written aside, flushed to disk and renamed, so a reader (or a power cut) finds a file whole or not at all. Renames are
not flushed one by one: file systems with a journal keep their order, so a power cut may cost the newest images, never half of one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from builder.errors import IntegrityError, StoreError
from builder.model.index import manifest_type
from builder.model.oci import StoredManifest, is_digest, sha256
from builder.own_folder import make_own_folder
from builder.stores.layout_index import Index

MANIFEST_LIMIT = 8 << 20  # registries take 4 MiB: a larger file is a layer
_COMMIT = re.compile(r"[0-9a-f]{40}")
_STALE = 24 * 3600
_FRESH = 600
"""Seconds for which a blob counts as used a moment ago: sparing a lock for each blob that is there already."""


class LayoutFiles:
    """One directory. `name` is what errors call it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = f"oci:{directory}"
        self.blobs = directory / "blobs" / "sha256"
        self._aside = directory / ".tmp"
        self._cached: tuple[tuple[int, int, int], Index] | None = None
        self._ready = False

    def path(self, digest: str) -> Path:
        if not is_digest(digest):
            raise StoreError(f"{self.name}: not a digest: {digest!r}")
        return self.blobs / digest.removeprefix("sha256:")

    def index(self) -> Index:
        """index.json as it is now; parsed again only when another writer has replaced it."""
        path = self.directory / "index.json"
        try:
            with path.open("rb") as file:
                seen = os.fstat(file.fileno())
                stamp = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
                if self._cached is None or self._cached[0] != stamp:
                    self._cached = (stamp, Index.from_bytes(file.read(), path))
                return self._cached[1]
        except (FileNotFoundError, NotADirectoryError):
            return Index()
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}") from error

    def replace_index(self, index: Index) -> None:
        """Under the lock only."""
        path = self.directory / "index.json"
        self.write_bytes(path, index.data)
        seen = path.stat()
        self._cached = ((seen.st_mtime_ns, seen.st_size, seen.st_ino), index)

    def manifest(self, digest: str) -> StoredManifest | None:
        path = self.path(digest)
        size = size_of(path)
        if size is None or size > MANIFEST_LIMIT:
            return None
        data = path.read_bytes()
        if sha256(data) != digest:
            raise self.corrupt_manifest(digest)
        media_type = manifest_type(data)
        return StoredManifest(data, media_type, digest) if media_type else None

    def corrupt_manifest(self, digest: str) -> IntegrityError:
        """Removed, it is no longer in the way of the command that makes it."""
        path, tags = self.path(digest), [tag for tag, named in self.index().tags.items() if named == digest]
        sha = next((match[0] for match in map(_COMMIT.match, tags) if match), "SHA")
        hint = f"remove it (rm {path}); `builder image --commit {sha}` makes the image anew, and `builder verify {sha}` compares it"
        return IntegrityError(f"{path} does not hash to its name", hint)

    def reuse(self, path: Path, size: int) -> bool:
        """Whether the file is there, whole; then it counts as used just now, so that `sweep` lets it be. False also when it cannot
        be marked so (another user's file): then it is written anew.
        """
        seen = _stat(path)
        if seen is None or seen.st_size != size:
            return False
        if seen.st_mtime > time.time() - _FRESH:
            return True
        with self.locked():  # what sweeps holds it, too, from looking at the time to removing
            try:
                os.utime(path)
            except OSError:
                return False
        return True

    def prepare(self) -> None:
        """Makes the directory a layout, once per process; refuses one that holds something else."""
        if self._ready:
            return
        marker = self.directory / "oci-layout"
        try:
            if not marker.exists() and self.directory.is_dir() and _foreign(self.directory):
                raise StoreError(f"{self.directory} is not an OCI layout and not empty", "name a new directory: --to oci:DIR")
            make_own_folder(self.blobs)
            self._aside.mkdir(exist_ok=True)
            _remove_stale(self._aside)
        except OSError as error:
            raise StoreError(f"cannot make an OCI layout in {self.directory}: {error.strerror}") from error
        if not marker.exists():
            self.write_bytes(self.directory / ".gitignore", b"*\n")  # in a working tree it is no part of the next snapshot
            self.write_bytes(marker, b'{"imageLayoutVersion":"1.0.0"}')
        with self.locked():
            if not (self.directory / "index.json").exists():
                self.write_bytes(self.directory / "index.json", Index().data)
        self._ready = True

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One writer of index.json at a time. The lock is a file of its own: index.json is replaced under it."""
        path = self.directory / ".lock"
        with contextlib.ExitStack() as stack:
            try:
                fcntl.flock(stack.enter_context(path.open("ab")), fcntl.LOCK_EX)
            except OSError as error:
                raise StoreError(f"cannot lock {path}: {error.strerror}") from error
            yield

    def write_bytes(self, path: Path, data: bytes) -> None:
        self.write(path, len(data), lambda file: file.write(data))

    def write(self, path: Path, size: int, fill: Callable[[BinaryIO], object]) -> None:
        """Writes aside, flushes, renames. What was written is gone again when any of it fails."""
        try:
            handle, aside = tempfile.mkstemp(dir=self._aside)
        except OSError as error:
            raise self._cannot_write(path, size, error) from error
        try:
            with os.fdopen(handle, "wb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            Path(aside).chmod(0o644)
            Path(aside).replace(path)
        except OSError as error:
            raise self._cannot_write(path, size, error) from error
        finally:
            Path(aside).unlink(missing_ok=True)

    def _cannot_write(self, path: Path, size: int, error: OSError) -> StoreError:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return StoreError(f"cannot write {path}: {error.strerror or error}")
        free = shutil.disk_usage(self.directory).free
        hint = "free some space, or name another directory: --to oci:DIR"
        return StoreError(f"disk full: {self.directory} needs {size} bytes for {path.name[:12]}, {free} are free", hint)


def size_of(path: Path) -> int | None:
    """None when there is no such file."""
    seen = _stat(path)
    return seen.st_size if seen else None


def time_of(path: Path) -> float | None:
    """When the file was written, or used again, in seconds since 1970."""
    seen = _stat(path)
    return seen.st_mtime if seen else None


def corrupt(path: Path) -> IntegrityError:
    return IntegrityError(
        f"{path} does not hash to its name", f"remove it (rm {path}) and run the command again: it is made or fetched anew"
    )


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _foreign(directory: Path) -> bool:
    """A first writer that was killed, or is at work, has left only names of ours."""
    return any(entry.name not in ("blobs", ".tmp", ".lock", ".gitignore", "index.json", "oci-layout") for entry in directory.iterdir())


def _remove_stale(aside: Path) -> None:
    """What writers that were killed left behind. A day old: nobody writes it any more."""
    for path in aside.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - _STALE:
                path.unlink()
