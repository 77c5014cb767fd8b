"""An OCI image layout on disk: `oci-layout`, `index.json`, `blobs/sha256/<hex>`.

https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from builder.errors import BlobUnknownError, IntegrityError, TagConflictError
from builder.model.annotations import KIND
from builder.model.index import is_index
from builder.model.oci import Descriptor, Manifest, StoredManifest, is_digest, sha256
from builder.stores.interface import Held, OpenBlob
from builder.stores.layout_files import LayoutFiles, corrupt, size_of
from builder.stores.layout_index import Index
from builder.stores.layout_removal import Removal

_CHUNK = 1 << 20


class LayoutStore:
    """One directory. Any number of threads and processes may write to it at once; killed anywhere, it stays valid.

    It is sparse: layers that a manifest marks `dev.builder.kind` = `base` may be missing (`missing_blobs` says which).
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(os.path.normpath(directory))  # one directory, one name
        self._files = LayoutFiles(self.directory)
        self._removal = Removal(self._files)

    @property
    def name(self) -> str:
        return self._files.name

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
        return self._files.manifest(digest) if digest else None

    def has_blob(self, digest: str) -> bool:
        return self._files.path(digest).is_file()

    def open_blob(self, digest: str) -> Iterator[bytes]:
        path, seen = self._files.path(digest), hashlib.sha256()
        try:
            file = path.open("rb")
        except OSError as error:
            raise BlobUnknownError(f"{self.name} has no blob {digest}", _sparse_hint()) from error
        with file:
            while chunk := file.read(_CHUNK):
                seen.update(chunk)
                yield chunk
        if f"sha256:{seen.hexdigest()}" != digest:
            raise corrupt(path)

    def list_tags(self) -> tuple[str, ...]:
        return tuple(sorted(self._files.index().tags))

    def manifests(self) -> tuple[str, ...]:
        """The digests that index.json names, each once, in its order."""
        return tuple(self._files.index().digests)

    def missing_blobs(self, manifest: Manifest) -> tuple[Descriptor, ...]:
        """The config and layers of `manifest` that are not here; empty when the image is complete."""
        blobs = {blob.digest: blob for blob in (manifest.config, *manifest.layers)}
        return tuple(blob for blob in blobs.values() if not self.has_blob(blob.digest))

    # writing

    def put_blob(self, blob: Descriptor, source: OpenBlob, mount_from: str = "") -> bool:  # noqa: ARG002 - nothing to mount on a disk
        path = self._files.path(blob.digest)
        if self._files.reuse(path, blob.size):
            return False
        self._files.prepare()
        with contextlib.closing(source()) as stream:
            self._files.write(path, blob.size, lambda file: _copy(stream, file, blob))
        return True

    def put_manifest(self, data: bytes, media_type: str, tags: tuple[str, ...] = ()) -> str:
        self._require_blobs(data, media_type)
        self._files.prepare()
        digest = sha256(data)
        if not self._files.reuse(self._files.path(digest), len(data)):
            self._files.write_bytes(self._files.path(digest), data)
        taken = self._point(tags, data, Descriptor(media_type, digest, len(data)))
        if taken:
            facts = ", ".join(f"{tag} is {other}" for tag, other in taken.items())
            raise TagConflictError(
                f"{self.name}: a tag never moves to another digest: {facts}, not {digest}", "run the image that is there"
            )
        return digest

    # clean-up

    def held(self) -> Iterator[Held]:
        return self._removal.held()

    def referrers(self, digest: str) -> tuple[str, ...]:
        return self._removal.referrers(digest)

    def remove(self, digests: Iterable[str]) -> Iterator[tuple[str, str]]:
        return self._removal.remove(digests)

    def sweep(self, dry: bool) -> int:
        return self._removal.sweep(dry)

    def close(self) -> None:
        """Nothing is kept open."""

    # inside

    def _tagged(self, tag: str) -> str | None:
        """The digest behind a tag: index.json's own first, then the indexes that it holds, as other tools nest them."""
        pending, depth = [self._files.index()], 0
        while pending and depth < 4:
            found = next((index.tags[tag] for index in pending if tag in index.tags), None)
            if found:
                return found
            nested = [self._files.manifest(digest) for index in pending for digest, kind in index.digests.items() if is_index(kind)]
            pending = [Index.from_bytes(one.data, self._files.path(one.digest)) for one in nested if one]
            depth += 1
        return None

    def _require_blobs(self, data: bytes, media_type: str) -> None:
        if is_index(media_type):
            return
        for blob in self.missing_blobs(Manifest.from_bytes(data)):
            if blob.annotations.get(KIND) != "base":
                raise BlobUnknownError(f"{self.name} has no blob {blob.digest} ({blob.size} bytes), which a manifest names")

    def _point(self, tags: tuple[str, ...], data: bytes, manifest: Descriptor) -> dict[str, str]:
        """Adds what index.json lacks; returns the tags that name another digest. What it names is looked for again: a clean-up may
        have been at work since, and from here on it knows of this manifest.
        """
        with self._files.locked():
            index = self._files.index()
            taken = {tag: index.tags[tag] for tag in tags if index.tags.get(tag, manifest.digest) != manifest.digest}
            changed = index.with_manifest(manifest, tuple(tag for tag in tags if tag not in index.tags))
            if changed is not index:
                self._require_blobs(data, manifest.media_type)
                if size_of(self._files.path(manifest.digest)) is None:
                    self._files.write_bytes(self._files.path(manifest.digest), data)
                self._files.replace_index(changed)
        return taken


def _copy(stream: BinaryIO, file: BinaryIO, expected: Descriptor) -> None:
    seen, size = hashlib.sha256(), 0
    while chunk := stream.read(_CHUNK):
        seen.update(chunk)
        size += len(chunk)
        file.write(chunk)
    if f"sha256:{seen.hexdigest()}" != expected.digest or size != expected.size:
        raise IntegrityError(f"got {size} bytes, sha256:{seen.hexdigest()}, for {expected.digest} of {expected.size} bytes")


def _sparse_hint() -> str:
    return "a layout lacks the base's layers unless it was built with --with-base"
