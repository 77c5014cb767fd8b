"""Layers that are made rarely and kept under a tag that names what they are made of: dependencies, and this tool's own.

An artifact is an image manifest. Its layers carry what an image that uses them must know (kind, title, DiffID), so that finding it again
is one request; and none where this machine remembers it, as such a tag never names anything else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from builder.errors import IntegrityError, TagConflictError
from builder.image.layers import BuiltLayer
from builder.model.oci import CONFIG, MANIFEST, Descriptor, Manifest, StoredManifest, canonical_json, is_digest, sha256
from builder.stores.interface import Store

KIND, TITLE, DIFF_ID = "dev.builder.kind", "dev.builder.title", "dev.builder.diffid"
CHANGES = "dev.builder.config"
"""Annotation of an artifact: JSON of what its image config changes against its base's."""


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
    and another store on this disk that keeps a copy (None: no copies).
    """

    store: Store
    memory: Path | None = None
    copies: Store | None = None

    def find(self, tag: str, kind: str) -> Artifact | None:
        """What the tag names, from memory, else from the store (one request), else brought from the copy on disk."""
        if (remembered := self._recall(tag, kind)) is not None:
            return remembered
        stored = self.store.get_manifest(tag) or self._from_copy(tag)
        return self._remember(tag, stored, kind) if stored else None

    def publish(self, tag: str, kind: str, layers: Iterable[BuiltLayer], platform: str) -> Artifact:
        """Stores layers made here: blobs, then the manifest, then the tag. Adopts what the tag names by then, if anything."""
        built = tuple(layers)
        config = _config(built, platform)
        manifest = Manifest(Descriptor(CONFIG, sha256(config), len(config)), tuple(_annotated(layer, kind) for layer in built))
        for store in (self.store, self.copies):
            if store is not None:
                for layer in built:
                    store.put_blob(layer.descriptor, layer.open)
                store.put_blob(manifest.config, partial(BytesIO, config))
        if self.copies is not None:
            tag_once(self.copies, tag, manifest)
        return self._remember(tag, tag_once(self.store, tag, manifest), kind)

    def adopt(self, tag: str, kind: str, manifest: Manifest) -> Artifact:
        """Tags a manifest whose blobs the store has, unless the tag names something by now: then it is that."""
        return self._remember(tag, tag_once(self.store, tag, manifest), kind)

    def also(self, artifact: Artifact, tag: str) -> None:
        """A second tag for people, where it is still free."""
        stored = self.store.get_manifest(artifact.digest)
        if stored is not None and self.store.get_manifest(tag) is None:
            with contextlib.suppress(TagConflictError):
                self.store.put_manifest(stored.data, stored.media_type, (tag,))

    def forget(self, tag: str) -> None:
        """After the store turned out to lack a blob: the next `find` asks the store again."""
        if self.memory is not None:
            self._place(self.memory, tag).unlink(missing_ok=True)

    def _from_copy(self, tag: str) -> StoredManifest | None:
        stored = self.copies.get_manifest(tag) if self.copies else None
        if stored is None or self.copies is None:
            return None
        manifest = Manifest.from_bytes(stored.data)
        for blob in (*manifest.layers, manifest.config):
            content = b"".join(self.copies.open_blob(blob.digest))
            self.store.put_blob(blob, partial(BytesIO, content))
        return tag_once(self.store, tag, manifest)

    def _recall(self, tag: str, kind: str) -> Artifact | None:
        try:
            return _artifact(self._place(self.memory, tag).read_bytes(), kind) if self.memory else None
        except (OSError, IntegrityError):
            return None

    def _remember(self, tag: str, stored: StoredManifest, kind: str) -> Artifact:
        artifact = _artifact(stored.data, kind)
        if self.memory is not None:
            place = self._place(self.memory, tag)
            place.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(place, stored.data)
        return artifact

    def _place(self, memory: Path, tag: str) -> Path:
        return memory / hashlib.sha256(self.store.name.encode()).hexdigest()[:16] / f"{tag}.json"


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


def _config(layers: tuple[BuiltLayer, ...], platform: str) -> bytes:
    system, _, architecture = platform.partition("/")
    diff_ids = [layer.diff_id for layer in layers]
    return canonical_json(
        {"architecture": architecture, "os": system, "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": []}
    )


def _write_whole(place: Path, data: bytes) -> None:
    """Written aside and renamed: a reader finds the file whole or not at all."""
    fd, aside = tempfile.mkstemp(dir=place.parent)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
    Path(aside).replace(place)
