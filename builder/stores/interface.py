"""The port that every store implements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from builder.model.oci import Descriptor, StoredManifest

OpenBlob = Callable[[], BinaryIO]
"""Gives the blob's bytes from the start, every time it is called: an upload that fails is tried again."""


class Store(Protocol):
    """One repository of images. Every method may be called from several threads.

    All raise StoreError (AuthError for credentials) with the store's name in the message.
    """

    @property
    def name(self) -> str:
        """What stands before `@sha256:...` in a reference to an image here."""

    def reference(self, digest: str) -> str:
        """What a person types to get the image: `name@digest`, in a Docker daemon the image's id."""

    @property
    def sparse(self) -> bool:
        """Whether images may be here without the layers of their base."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of its registry, as this machine and as nodes know it: blobs of other repositories there can be mounted."""

    @property
    def requests(self) -> int:
        """How many requests have been sent so far (0 where there is no server)."""

    def get_manifest(self, ref: str) -> StoredManifest | None:
        """By tag or digest; None when the store has no such manifest. The bytes are checked against a digest `ref`."""

    def put_manifest(self, data: bytes, media_type: str, tags: tuple[str, ...] = ()) -> str:
        """Stores the exact bytes and then points the tags at them; returns the digest.

        Every blob it names must be there: else BlobUnknownError (a layout may lack base blobs: it is sparse).
        A tag that names another digest already is left alone: TagConflictError.
        """

    def has_blob(self, digest: str) -> bool: ...

    def open_blob(self, digest: str) -> Iterator[bytes]:
        """The blob in chunks, as stored; raises StoreError when it is not there, IntegrityError when the bytes do not hash to `digest`."""

    def put_blob(self, blob: Descriptor, source: OpenBlob, mount_from: str = "") -> bool:
        """Makes the store hold the blob. True when bytes were sent, False when it was there or could be mounted.

        `mount_from`: name of another repository in the same registry that holds it.
        """

    def list_tags(self) -> tuple[str, ...]:
        """Every tag, sorted."""

    def close(self) -> None:
        """Ends open connections. The store may be used again: it opens new ones."""
