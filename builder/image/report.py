"""What is said of an image: of one that is there, and of one that was just made. Imports little: often it is all that a command does."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict

from builder.model.annotations import KIND, TITLE
from builder.model.image import BuiltImage, LayerReport
from builder.model.oci import Descriptor, Manifest, canonical_json, sha256
from builder.model.tree import Commit
from builder.settings import ImageSettings
from builder.stores.interface import Store


def existing_image(store: Store, commit: Commit, tag: str) -> BuiltImage | None:
    """The image that a tag names, as the result of a build that had nothing to do."""
    asked = store.requests
    stored = store.get_manifest(tag)
    if stored is None:
        return None
    manifest = Manifest.from_bytes(stored.data)
    layers = layer_reports(manifest, lambda _: "reused")
    size = total_size(manifest)
    reference = store.reference(stored.digest)
    return BuiltImage(commit, reference, stored.digest, layers, 0, size, manifest, existed=True, requests=store.requests - asked)


def new_image(store: Store, commit: Commit, digest: str, manifest: Manifest, sent: Collection[str], mounted: Collection[str]) -> BuiltImage:
    """`sent`: digests of the blobs that went to the store; `mounted`: of those that the registry took over from another repository."""
    blobs = {blob.digest: blob.size for blob in (*manifest.layers, manifest.config)}
    new = {digest: blobs[digest] for digest in sent if digest in blobs}
    states = {**dict.fromkeys(mounted, "mounted"), **dict.fromkeys(new, "uploaded")}
    layers = layer_reports(manifest, lambda layer: states.get(layer.digest, "reused"))
    size = sum(new.values())
    return BuiltImage(commit, store.reference(digest), digest, layers, size, total_size(manifest) - size, manifest)


def settings_key(settings: ImageSettings) -> str:
    """16 hex digits of what `[image]` says, to tell an image that other settings made."""
    return sha256(canonical_json(asdict(settings)))[7:23]


def layer_reports(manifest: Manifest, state: Callable[[Descriptor], str]) -> tuple[LayerReport, ...]:
    return tuple(
        LayerReport(layer.digest, layer.size, layer.annotations.get(KIND, "base"), state(layer), layer.annotations.get(TITLE, ""))
        for layer in manifest.layers
    )


def total_size(manifest: Manifest) -> int:
    """Bytes of config and layers, as stored."""
    return manifest.config.size + sum(layer.size for layer in manifest.layers)
