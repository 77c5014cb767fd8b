"""An OCI image layout on disk: `oci-layout`, `index.json`, `blobs/sha256/<hex>`.

https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md

What is written is written aside, flushed to disk and renamed, so a reader (or a power cut) finds a file whole or not at all. Renames are
not flushed one by one: file systems with a journal keep their order, so a power cut may cost the newest images, never half of one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from builder.errors import BlobUnknownError, IntegrityError, StoreError, TagConflictError
from builder.model.annotations import KIND
from builder.model.index import is_index, manifest_type
from builder.model.oci import Descriptor, Manifest, StoredManifest, is_digest, sha256
from builder.own_folder import make_own_folder
from builder.stores.interface import OpenBlob
from builder.stores.layout_index import Index

_CHUNK = 1 << 20
_MANIFEST_LIMIT = 8 << 20  # registries take 4 MiB: a larger file is a layer
_STALE = 24 * 3600


class LayoutStore:
    """One directory. Any number of threads and processes may write to it at once; killed anywhere, it stays valid.

    It is sparse: layers that a manifest marks `dev.builder.kind` = `base` may be missing (`missing_blobs` says which).
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(os.path.normpath(directory))  # one directory, one name
        self._blobs = self.directory / "blobs" / "sha256"
        self._aside = self.directory / ".tmp"
        self._cached: tuple[tuple[int, int, int], Index] | None = None
        self._ready = False

    @property
    def name(self) -> str:
        return f"oci:{self.directory}"

    def reference(self, digest: str) -> str:
        return f"{self.name}@{digest}"

    @property
    def sparse(self) -> bool:
        return True

    @property
    def hosts(self) -> tuple[str, ...]:
        return ()

    @property
    def requests(self) -> int:
        return 0

    # reading

    def get_manifest(self, ref: str) -> StoredManifest | None:
        digest = ref if is_digest(ref) else self._tagged(ref)
        return self._manifest(digest) if digest else None

    def has_blob(self, digest: str) -> bool:
        return self._path(digest).is_file()

    def open_blob(self, digest: str) -> Iterator[bytes]:
        path, seen = self._path(digest), hashlib.sha256()
        try:
            file = path.open("rb")
        except OSError as error:
            raise BlobUnknownError(f"{self.name} has no blob {digest}", _sparse_hint()) from error
        with file:
            while chunk := file.read(_CHUNK):
                seen.update(chunk)
                yield chunk
        if f"sha256:{seen.hexdigest()}" != digest:
            raise _corrupt(path)

    def list_tags(self) -> tuple[str, ...]:
        return tuple(sorted(self._index().tags))

    def manifests(self) -> tuple[str, ...]:
        """The digests that index.json names, each once, in its order."""
        return tuple(self._index().digests)

    def missing_blobs(self, manifest: Manifest) -> tuple[Descriptor, ...]:
        """The config and layers of `manifest` that are not here; empty when the image is complete."""
        blobs = {blob.digest: blob for blob in (manifest.config, *manifest.layers)}
        return tuple(blob for blob in blobs.values() if not self.has_blob(blob.digest))

    # writing

    def put_blob(self, blob: Descriptor, source: OpenBlob, mount_from: str = "") -> bool:  # noqa: ARG002 - nothing to mount on a disk
        path = self._path(blob.digest)
        if _size(path) == blob.size:
            return False
        self._prepare()
        with contextlib.closing(source()) as stream:
            self._write(path, blob.size, lambda file: _copy(stream, file, blob))
        return True

    def put_manifest(self, data: bytes, media_type: str, tags: tuple[str, ...] = ()) -> str:
        self._require_blobs(data, media_type)
        self._prepare()
        digest = sha256(data)
        if _size(self._path(digest)) != len(data):
            self._write_bytes(self._path(digest), data)
        taken = self._point(tags, Descriptor(media_type, digest, len(data)))
        if taken:
            facts = ", ".join(f"{tag} is {other}" for tag, other in taken.items())
            raise TagConflictError(
                f"{self.name}: a tag never moves to another digest: {facts}, not {digest}", "run the image that is there"
            )
        return digest

    def close(self) -> None:
        """Nothing is kept open."""

    # inside

    def _path(self, digest: str) -> Path:
        if not is_digest(digest):
            raise StoreError(f"{self.name}: not a digest: {digest!r}")
        return self._blobs / digest.removeprefix("sha256:")

    def _index(self) -> Index:
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

    def _tagged(self, tag: str) -> str | None:
        """The digest behind a tag: index.json's own first, then the indexes that it holds, as other tools nest them."""
        pending, depth = [self._index()], 0
        while pending and depth < 4:
            found = next((index.tags[tag] for index in pending if tag in index.tags), None)
            if found:
                return found
            nested = [self._manifest(digest) for index in pending for digest, media_type in index.digests.items() if is_index(media_type)]
            pending = [Index.from_bytes(one.data, self._path(one.digest)) for one in nested if one]
            depth += 1
        return None

    def _manifest(self, digest: str) -> StoredManifest | None:
        path = self._path(digest)
        size = _size(path)
        if size is None or size > _MANIFEST_LIMIT:
            return None
        data = path.read_bytes()
        if sha256(data) != digest:
            raise _corrupt(path)
        media_type = manifest_type(data)
        return StoredManifest(data, media_type, digest) if media_type else None

    def _require_blobs(self, data: bytes, media_type: str) -> None:
        if is_index(media_type):
            return
        for blob in self.missing_blobs(Manifest.from_bytes(data)):
            if blob.annotations.get(KIND) != "base":
                raise BlobUnknownError(f"{self.name} has no blob {blob.digest} ({blob.size} bytes), which a manifest names")

    def _prepare(self) -> None:
        """Makes the directory a layout, once per process; refuses one that holds something else."""
        if self._ready:
            return
        marker = self.directory / "oci-layout"
        try:
            if not marker.exists() and self.directory.is_dir() and _foreign(self.directory):
                raise StoreError(f"{self.directory} is not an OCI layout and not empty", "name a new directory: --to oci:DIR")
            make_own_folder(self._blobs)
            self._aside.mkdir(exist_ok=True)
            _remove_stale(self._aside)
        except OSError as error:
            raise StoreError(f"cannot make an OCI layout in {self.directory}: {error.strerror}") from error
        if not marker.exists():
            self._write_bytes(self.directory / ".gitignore", b"*\n")  # in a working tree it is no part of the next snapshot
            self._write_bytes(marker, b'{"imageLayoutVersion":"1.0.0"}')
        with self._locked():
            if not (self.directory / "index.json").exists():
                self._write_bytes(self.directory / "index.json", Index().data)
        self._ready = True

    def _point(self, tags: tuple[str, ...], manifest: Descriptor) -> dict[str, str]:
        """Adds what index.json lacks; returns the tags that name another digest."""
        with self._locked():
            index = self._index()
            taken = {tag: index.tags[tag] for tag in tags if index.tags.get(tag, manifest.digest) != manifest.digest}
            changed = index.with_manifest(manifest, tuple(tag for tag in tags if tag not in index.tags))
            if changed is not index:
                self._write_bytes(self.directory / "index.json", changed.data)
                seen = (self.directory / "index.json").stat()
                self._cached = ((seen.st_mtime_ns, seen.st_size, seen.st_ino), changed)
        return taken

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer of index.json at a time. The lock is a file of its own: index.json is replaced under it."""
        path = self.directory / ".lock"
        with contextlib.ExitStack() as stack:
            try:
                fcntl.flock(stack.enter_context(path.open("ab")), fcntl.LOCK_EX)
            except OSError as error:
                raise StoreError(f"cannot lock {path}: {error.strerror}") from error
            yield

    def _write_bytes(self, path: Path, data: bytes) -> None:
        self._write(path, len(data), lambda file: file.write(data))

    def _write(self, path: Path, size: int, fill: Callable[[BinaryIO], object]) -> None:
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


def _copy(stream: BinaryIO, file: BinaryIO, expected: Descriptor) -> None:
    seen, size = hashlib.sha256(), 0
    while chunk := stream.read(_CHUNK):
        seen.update(chunk)
        size += len(chunk)
        file.write(chunk)
    if f"sha256:{seen.hexdigest()}" != expected.digest or size != expected.size:
        raise IntegrityError(f"got {size} bytes, sha256:{seen.hexdigest()}, for {expected.digest} of {expected.size} bytes")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
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


def _corrupt(path: Path) -> IntegrityError:
    return IntegrityError(
        f"{path} does not hash to its name", f"remove it (rm {path}) and run the command again: it is made or fetched anew"
    )


def _sparse_hint() -> str:
    return "a layout lacks the base's layers unless it was built with --with-base"
