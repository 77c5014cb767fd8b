"""A store that takes nothing: what would be sent is counted, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator

from builder.model.oci import Descriptor, StoredManifest, sha256
from builder.stores.interface import OpenBlob, Store


class DryRun:
    """Reads from the store inside; writes go nowhere."""

    def __init__(self, inside: Store) -> None:
        self._inside = inside
        self._taken: set[str] = set()

    @property
    def name(self) -> str:
        return self._inside.name

    @property
    def sparse(self) -> bool:
        return self._inside.sparse

    @property
    def hosts(self) -> tuple[str, ...]:
        return self._inside.hosts

    @property
    def requests(self) -> int:
        return self._inside.requests

    def reference(self, digest: str) -> str:
        return self._inside.reference(digest)

    def get_manifest(self, ref: str) -> StoredManifest | None:
        return self._inside.get_manifest(ref)

    def put_manifest(self, data: bytes, media_type: str, tags: tuple[str, ...] = ()) -> str:  # noqa: ARG002
        return sha256(data)

    def has_blob(self, digest: str) -> bool:
        return digest in self._taken or self._inside.has_blob(digest)

    def open_blob(self, digest: str) -> Iterator[bytes]:
        return self._inside.open_blob(digest)

    def put_blob(self, blob: Descriptor, source: OpenBlob, mount_from: str = "") -> bool:  # noqa: ARG002 - nothing is read
        """A mount that is asked for counts as granted: whether the registry allows it, only the mount itself would tell."""
        there = self.has_blob(blob.digest)
        self._taken.add(blob.digest)
        return not there and not mount_from

    def list_tags(self) -> tuple[str, ...]:
        return self._inside.list_tags()

    def close(self) -> None:
        self._inside.close()
