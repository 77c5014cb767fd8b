"""Layers that are made rarely and kept under a tag that names what they are made of: dependencies, and this tool's own.

An artifact is an image manifest. Its layers carry what an image that uses them must know (kind, title, DiffID), so that finding it again
is one request; and none where this machine remembers it, as such a tag never names anything else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from builder.errors import IntegrityError, TagConflictError
from builder.files import write_whole
from builder.image.layers import BuiltLayer
from builder.model.annotations import DIFF_ID, KIND
from builder.model.oci import CONFIG, MANIFEST, Descriptor, Manifest, StoredManifest, canonical_json, is_digest, sha256
from builder.model.platform import Platform
from builder.stores.chunks import as_file
from builder.stores.interface import OpenBlob, Store

_AT_ONCE = 4
CHANGES = "dev.builder.config"
"""Annotation of an artifact: JSON of what its image config changes against its base's."""

Put = Callable[[Store, Descriptor, OpenBlob], None]


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a tag names: the manifest's digest, its layers of the kind that was asked for, and changes of the image config."""

    digest: str
    layers: tuple[Descriptor, ...]
    changes: Mapping[str, Any]

    @property
    def diff_ids(self) -> tuple[str, ...]:
        return tuple(layer.annotations[DIFF_ID] for layer in self.layers)


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Where artifacts are looked for and put: a store; a directory in which this machine remembers what that store has (None: nowhere);
    and another store on this disk that keeps copies for stores to come (None: no copies).

    A store on this machine is asked itself, as that costs no request. `recall` is false when memory turned out to be wrong.
    `sent` is told the digest of every layer that really went to the store, from any thread.
    """

    store: Store
    memory: Path | None = None
    copies: Store | None = None
    recall: bool = True
    sent: Callable[[str], object] = field(default=lambda _: None)

    def find(self, tag: str, kind: str) -> Artifact | None:
        """What the tag names, from memory, else from the store (one request)."""
        if (remembered := self._recall(tag, kind)) is not None:
            return remembered
        stored = self.store.get_manifest(tag)
        return self._remember(tag, stored, kind) if stored else None

    def bring(self, tag: str, kind: str) -> Artifact | None:
        """Stores the copy that is on this disk, if there is one."""
        stored = self._from_copy(tag)
        return self._remember(tag, stored, kind) if stored else None

    def publish(self, tag: str, kind: str, layers: Iterable[BuiltLayer], platform: str, *, copy: bool = False) -> Artifact:
        """Stores layers made here: blobs, then the manifest, then the tag. Adopts what the tag names by then, if anything.

        Layers are sent while `layers` makes the next ones. With `copy` they stay on this disk, too.
        """
        stores = (self.copies, self.store) if copy and self.copies else (self.store,)
        sent = _send(layers, kind, self._put, stores)
        config = _config([layer.annotations[DIFF_ID] for layer in sent], platform)
        manifest = Manifest(Descriptor(CONFIG, sha256(config), len(config)), tuple(sent))
        for store in stores:
            store.put_blob(manifest.config, partial(BytesIO, config))
            stored = tag_once(store, tag, manifest)
        return self._remember(tag, stored, kind)

    def adopt(self, tag: str, kind: str, manifest: Manifest) -> Artifact:
        """Tags a manifest whose blobs the store has, unless the tag names something by now: then it is that."""
        return self._remember(tag, tag_once(self.store, tag, manifest), kind)

    def also(self, artifact: Artifact, tag: str) -> None:
        """A second tag for people, where it is still free."""
        stored = self.store.get_manifest(artifact.digest)
        if stored is not None and self.store.get_manifest(tag) is None:
            with contextlib.suppress(TagConflictError):
                self.store.put_manifest(stored.data, stored.media_type, (tag,))

    def doubting(self) -> Artifacts:
        """The same, but memory is not asked: for when the store turned out to lack what was remembered."""
        return replace(self, recall=False)

    def _from_copy(self, tag: str) -> StoredManifest | None:
        stored = self.copies.get_manifest(tag) if self.copies else None
        if stored is None or self.copies is None:
            return None
        manifest = Manifest.from_bytes(stored.data)
        for blob in (*manifest.layers, manifest.config):
            self._put(self.store, blob, partial(_open, self.copies, blob.digest))
        return tag_once(self.store, tag, manifest)

    def _put(self, store: Store, blob: Descriptor, source: OpenBlob) -> None:
        if store.put_blob(blob, source) and store is self.store:
            self.sent(blob.digest)

    def _recall(self, tag: str, kind: str) -> Artifact | None:
        place = self._place(tag)
        if place is None or not self.recall:
            return None
        try:
            return _artifact(place.read_bytes(), kind)
        except (OSError, IntegrityError):
            return None

    def _remember(self, tag: str, stored: StoredManifest, kind: str) -> Artifact:
        artifact = _artifact(stored.data, kind)
        if (place := self._place(tag)) is not None:
            with contextlib.suppress(OSError):  # what cannot be written is not remembered
                write_whole(place, stored.data)
        return artifact

    def _place(self, tag: str) -> Path | None:
        if self.memory is None or self.store.name.startswith(("oci:", "docker:")):
            return None
        return self.memory / hashlib.sha256(self.store.name.encode()).hexdigest()[:16] / f"{tag}.json"


def _open(store: Store, digest: str) -> BinaryIO:
    return as_file(store.open_blob(digest))


def _send(layers: Iterable[BuiltLayer], kind: str, put: Put, stores: Iterable[Store]) -> list[Descriptor]:
    """Puts each layer into all the stores, a few at a time: no more than these lie in memory or in TMPDIR."""
    sent: list[Descriptor] = []
    under_way: set[Future[None]] = set()
    with ThreadPoolExecutor(_AT_ONCE, "send") as pool:
        for layer in layers:
            sent.append(_annotated(layer, kind))
            under_way.add(pool.submit(_put_into_all, layer, put, stores))
            if len(under_way) == _AT_ONCE:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                _raise_first(done)
    _raise_first(under_way)
    return sent


def _put_into_all(layer: BuiltLayer, put: Put, stores: Iterable[Store]) -> None:
    for store in stores:
        put(store, layer.descriptor, layer.open)


def _raise_first(done: Iterable[Future[None]]) -> None:
    for one in done:
        one.result()


def tag_once(store: Store, tag: str, manifest: Manifest) -> StoredManifest:
    """Looks at the tag again, and puts the manifest there if it is free. Returns what the tag names then, whoever came first."""
    if (winner := store.get_manifest(tag)) is not None:
        return winner
    data = manifest.to_bytes()
    try:
        store.put_manifest(data, MANIFEST, (tag,))
    except TagConflictError:
        if (winner := store.get_manifest(tag)) is not None:
            return winner
        raise
    return StoredManifest(data, MANIFEST, sha256(data))


def _artifact(data: bytes, kind: str) -> Artifact:
    manifest = Manifest.from_bytes(data)
    layers = tuple(layer for layer in manifest.layers if layer.annotations.get(KIND) == kind)
    if not all(is_digest(layer.annotations.get(DIFF_ID, "")) for layer in layers):
        raise IntegrityError(f"the artifact {sha256(data)} has layers of kind {kind} without a DiffID", "delete its tag, and run again")
    try:
        changes = json.loads(manifest.annotations.get(CHANGES, "{}"))
    except ValueError as error:
        raise IntegrityError(f"the artifact {sha256(data)} has an annotation {CHANGES} that is not JSON") from error
    return Artifact(sha256(data), layers, changes if isinstance(changes, dict) else {})


def _annotated(layer: BuiltLayer, kind: str) -> Descriptor:
    return layer.annotated({KIND: kind, DIFF_ID: layer.diff_id}).descriptor


def _config(diff_ids: list[str], platform: str) -> bytes:
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    return canonical_json({**Platform.parse(platform).as_json(), "config": {}, "rootfs": rootfs, "history": []})
