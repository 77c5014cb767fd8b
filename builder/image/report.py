"""What is said of an image: of one that is there, and of one that was just made. Imports little: often it is all that a command does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from builder.errors import IntegrityError, StoreError
from builder.model.annotations import INPUTS, KIND, TITLE
from builder.model.image import BuiltImage, LayerReport
from builder.model.oci import Manifest, StoredManifest, canonical_json, sha256
from builder.model.tree import Commit
from builder.settings import ImageSettings, image_key
from builder.stores.interface import Store


def existing_image(store: Store, commit: Commit, tag: str) -> BuiltImage | None:
    """The image that a tag names, as the result of a build that had nothing to do.

    Raises StoreError when the tag is taken by an image that this tool did not make.
    """
    asked = store.requests
    stored = store.get_manifest(tag)
    if stored is None:
        return None
    manifest = own_manifest(stored)
    if manifest is None:
        message = f"{store.name}: the tag {tag} names an image that this tool did not make"
        raise StoreError(message, "give images a repository of their own (--to); --refresh makes one beside it")
    layers = _layers(manifest, _absent(store, manifest))
    reference = store.reference(stored.digest)
    reused = manifest.config.size + sum(layer.size for layer in layers if layer.state == "reused")
    return BuiltImage(commit, reference, stored.digest, layers, 0, reused, manifest, existed=True, requests=store.requests - asked)


def new_image(store: Store, commit: Commit, digest: str, manifest: Manifest, sent: Collection[str], mounted: Collection[str]) -> BuiltImage:
    """`sent`: digests of the blobs that went to the store; `mounted`: of those that the registry took over from another repository."""
    states = {**_absent(store, manifest), **dict.fromkeys(mounted, "mounted"), **dict.fromkeys(sent, "uploaded")}
    layers = _layers(manifest, states)
    sizes = {layer.digest: (layer.size, layer.state) for layer in layers}
    sizes[manifest.config.digest] = (manifest.config.size, states.get(manifest.config.digest, "reused"))
    new = sum(size for size, state in sizes.values() if state == "uploaded")
    reused = sum(size for size, state in sizes.values() if state in ("reused", "mounted"))
    return BuiltImage(commit, store.reference(digest), digest, layers, new, reused, manifest)


def count_as_sent(image: BuiltImage, digests: Collection[str]) -> BuiltImage:
    """The same, with these layers uploaded and no longer reused."""
    sent = {layer.digest: layer.size for layer in image.layers if layer.digest in digests and layer.state == "reused"}
    layers = tuple(replace(layer, state="uploaded") if layer.digest in sent else layer for layer in image.layers)
    size = sum(sent.values())
    return replace(image, layers=layers, new_bytes=image.new_bytes + size, reused_bytes=image.reused_bytes - size)


def own_manifest(stored: StoredManifest) -> Manifest | None:
    """The manifest of a commit's image; None for an index, or for what another tool made."""
    try:
        manifest = Manifest.from_bytes(stored.data)
    except IntegrityError:
        return None
    return manifest if INPUTS in manifest.annotations else None


def settings_key(settings: ImageSettings) -> str:
    """16 hex digits of what `[image]` itself says, to tell an image that other settings made. A function of what is in the inputs key."""
    return sha256(canonical_json(image_key(settings)))[7:23]


def _absent(store: Store, manifest: Manifest) -> dict[str, str]:
    """The base's layers that a sparse store does without."""
    if not store.sparse:
        return {}
    base = [layer.digest for layer in manifest.layers if layer.annotations.get(KIND, "base") == "base"]
    return {digest: "absent" for digest in base if not store.has_blob(digest)}


def _layers(manifest: Manifest, states: Mapping[str, str]) -> tuple[LayerReport, ...]:
    return tuple(
        LayerReport(
            layer.digest,
            layer.size,
            layer.annotations.get(KIND, "base"),
            states.get(layer.digest, "reused"),
            layer.annotations.get(TITLE, ""),
        )
        for layer in manifest.layers
    )
