"""The port that every store implements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol, runtime_checkable

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


@dataclass(frozen=True, slots=True)
class Held:
    """A manifest, or an index, that a store lists."""

    digest: str
    tags: tuple[str, ...]
    """Sorted."""
    pushed: float | None
    """Seconds since 1970 when it was put here, the last time where the store knows of several; None where it does not say."""


REMOVED, GONE = "removed", "gone"
"""What became of a manifest that was to go: it is removed, or it was no longer there. Else `refused: why`."""


@runtime_checkable
class Holdings(Protocol):
    """What clean-up asks of a store. A Docker daemon, whose images share no repository, does not offer it.

    All raise StoreError (AuthError for credentials) with the store's name in the message.
    """

    @property
    def name(self) -> str: ...

    def held(self) -> Iterator[Held]:
        """Every manifest that the store can list, each once: those with tags, and the others where the store tells of them.

        It comes as it is read: a repository may hold a hundred thousand. One that appears or goes meanwhile may be in it or not.
        """

    def get_manifest(self, ref: str) -> StoredManifest | None:
        """As a Store's."""

    def referrers(self, digest: str) -> tuple[str, ...]:
        """The digests of the manifests whose `subject` is `digest` (signatures, SBOMs), sorted; the list of them, too, where the
        registry keeps it under a tag.
        """

    def remove(self, digests: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Removes manifests with all their tags, and says of each what became of it: REMOVED, GONE or `refused: why`.

        An index goes before what it names: a store may refuse what an index names still. Killed anywhere and called again, it
        goes on. Raises CannotDeleteError where the store deletes nothing at all.
        """

    def sweep(self, dry: bool) -> int:
        """Removes blobs that no manifest names, and returns how many bytes they had; only counts them when `dry`.

        In a layout, and there what is younger than two hours stays. A registry does this by itself: 0.
        """
