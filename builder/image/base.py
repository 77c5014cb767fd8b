"""The base: the image below every commit's own. Known by its manifest and config alone; its layers are never downloaded to build on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from builder.cache import Cache
from builder.errors import IntegrityError, StoreError, UsageError
from builder.image.base_python import python_in_env
from builder.model.index import is_index, manifest_type, pick_platform
from builder.model.oci import Descriptor, Manifest, StoredManifest, is_digest
from builder.model.platform import Platform
from builder.model.reference import DOCKER_HUB, Reference
from builder.model.units import size
from builder.stores.interface import Store
from builder.stores.layout import LayoutStore

SCRATCH = "scratch"
_CONFIG_LIMIT = 8 << 20


@dataclass(frozen=True, slots=True)
class Base:
    """An image for one platform. `layers` (compressed, from the bottom up) and `diff_ids` (of the uncompressed tars) go in pairs.

    `reference` is `<store>@<digest>`; `digest` is the platform's own manifest's, never an index's. `config` is the image's
    config as JSON has it; `python` is `3.11` or empty when not known. For `scratch` all but `config` is empty.
    """

    reference: str
    digest: str
    layers: tuple[Descriptor, ...]
    diff_ids: tuple[str, ...]
    config: Mapping[str, Any]
    python: str = ""
    manifest: StoredManifest | None = field(default=None, repr=False)
    config_blob: Descriptor | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Bytes of all layers, as they are stored."""
        return sum(layer.size for layer in self.layers)

    @property
    def tag(self) -> str:
        """Under which a mirrored base is found."""
        return f"base-{self.digest[7:19]}"


def split_reference(text: str) -> tuple[str, str]:
    """The store as `builder.cli.wiring.open_store` takes it, and the tag or digest (empty when an `oci:DIR` names none)."""
    if text.startswith("oci:"):
        name, at, digest = text.partition("@")
        if at:
            return name, _digest(digest, text)
        head, colon, tag = name.removeprefix("oci:").rpartition(":")
        return (f"oci:{head}", tag) if colon and "/" not in tag else (name, "")
    reference = Reference.parse(text)
    return _public(str(reference.repository)), reference.name


def pinned(text: str) -> tuple[str, str]:
    """The store and the digest of a base that is named by digest. Raises UsageError on one that is not."""
    store, name = split_reference(text)
    if not is_digest(name):
        raise UsageError(f"the base {text} has no digest, so what it is may change", f"run `builder base pin {text}`")
    return store, name


def scratch(platform: str = "linux/amd64", python: str = "") -> Base:
    """The empty base."""
    return Base(SCRATCH, "", (), (), Platform.parse(platform).as_json(), python)


def load_base(reference: str, stores: Sequence[Store], cache: Cache, platform: str = "linux/amd64", python: str = "") -> Base:
    """Reads the base by digest: its manifest and config, at most once per machine (two requests; three for an index).

    The stores are asked in order: the one that commits go to first, as a mirrored base is there, then the base's own.
    `python` is what the settings say; what the base's environment says goes before it. Raises UsageError without a digest,
    StoreError when it is not there or not for the platform, IntegrityError when it is damaged.
    """
    if reference == SCRATCH:
        return scratch(platform, python)
    name, digest = pinned(reference)
    return _read(name, _manifest(stores, digest, cache, reference), stores, cache, platform, python)


def resolve(text: str, store: Store, cache: Cache, platform: str = "linux/amd64") -> Base:
    """The base that a tag, a digest or an `oci:DIR` of one image names now."""
    if text == SCRATCH:
        return scratch(platform)
    name, ref = split_reference(text)
    ref = ref or _only_manifest(store, text)
    found = store.get_manifest(ref)
    if found is None:
        raise StoreError(f"{store.name} has no {ref}", "check the name; a private registry may need `docker login` first")
    return _read(name, found, (store,), cache, platform)


def _read(name: str, found: StoredManifest, stores: Sequence[Store], cache: Cache, platform: str, python: str = "") -> Base:
    if is_index(found.media_type):
        child = pick_platform(found.data, platform, f"{name}@{found.digest}")
        found = _manifest(stores, child.digest, cache, f"{name}@{child.digest}")
    reference = f"{name}@{found.digest}"
    manifest = Manifest.from_bytes(found.data)
    config = _config(stores, manifest.config, cache, reference)
    diff_ids = _diff_ids(config, len(manifest.layers), reference)
    _check_platform(config, platform, reference)
    known = python_in_env(config) or python
    return Base(reference, found.digest, manifest.layers, diff_ids, config, known, found, manifest.config)


def require_base(base: Base, store: Store) -> None:
    """Raises StoreError, naming size and remedy, when `store` lacks layers of the base. One request when it holds the base's manifest."""
    if not base.layers or store.get_manifest(base.digest) is not None:
        return
    missing = missing_layers(base.layers, store)
    if missing:
        lacks = f"{len(missing)} of its {len(base.layers)} layers, {size(sum(layer.size for layer in missing))}"
        message = f"{store.name} lacks the base {base.reference}: {lacks}"
        raise StoreError(message, "run `builder base mirror` once, best where the network is fast; `builder image` never copies a base")


def missing_layers(layers: tuple[Descriptor, ...], store: Store) -> tuple[Descriptor, ...]:
    """Those that `store` lacks, each once, looked for eight at a time."""
    from concurrent.futures import ThreadPoolExecutor

    unique = tuple({layer.digest: layer for layer in layers}.values())
    with ThreadPoolExecutor(8) as pool:
        there = list(pool.map(lambda layer: store.has_blob(layer.digest), unique))
    return tuple(layer for layer, held in zip(unique, there, strict=True) if not held)


def _digest(text: str, whole: str) -> str:
    if not is_digest(text):
        raise UsageError(f"{whole!r} has a digest that is not sha256:<64 hex digits>")
    return text


def _public(repository: str) -> str:
    """Docker Hub as other tools write it."""
    return repository.replace(f"{DOCKER_HUB}/", "docker.io/", 1) if repository.startswith(f"{DOCKER_HUB}/") else repository


def _only_manifest(store: Store, text: str) -> str:
    manifests = store.manifests() if isinstance(store, LayoutStore) else ()
    if len(manifests) != 1:
        raise UsageError(f"{text} holds {len(manifests)} images", f"name one: {text}@sha256:... or {text}:TAG")
    return manifests[0]


def _manifest(stores: Sequence[Store], digest: str, cache: Cache, what: str) -> StoredManifest:
    kept = cache.get(digest)
    if kept is not None:
        return StoredManifest(kept, manifest_type(kept), digest)
    for store in stores:
        found = store.get_manifest(digest)
        if found is not None:
            cache.put(digest, found.data)
            return found
    asked = " or ".join(store.name for store in stores)
    raise StoreError(f"the base {what} is not in {asked}", "check its name, or pin another one: `builder base pin REF`")


def _config(stores: Sequence[Store], blob: Descriptor, cache: Cache, what: str) -> Mapping[str, Any]:
    if blob.size > _CONFIG_LIMIT:
        raise IntegrityError(f"{what}: a config of {blob.size} bytes is none")
    data = cache.get(blob.digest)
    if data is None:
        data = b"".join(_first_with(stores, blob.digest).open_blob(blob.digest))
        cache.put(blob.digest, data)
    try:
        config = json.loads(data)
    except ValueError as error:
        raise IntegrityError(f"{what}: its config {blob.digest} is not JSON") from error
    if not isinstance(config, dict):
        raise IntegrityError(f"{what}: its config {blob.digest} is not an image's")
    return config


def _first_with(stores: Sequence[Store], digest: str) -> Store:
    """The last one is not asked: opening the blob there says what is wrong."""
    return next((store for store in stores[:-1] if store.has_blob(digest)), stores[-1])


def _diff_ids(config: Mapping[str, Any], layers: int, what: str) -> tuple[str, ...]:
    rootfs = config.get("rootfs")
    found = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, str) and is_digest(one) for one in found) or len(found) != layers:
        raise IntegrityError(f"{what}: its config does not name its {layers} layers")
    return tuple(found)


def _check_platform(config: Mapping[str, Any], platform: str, what: str) -> None:
    """The variant is not looked at: configs seldom say it."""
    wanted = Platform.parse(platform)
    has = Platform(config.get("os", wanted.os), config.get("architecture", wanted.architecture))
    if (has.os, has.architecture) != (wanted.os, wanted.architecture):
        raise StoreError(f"{what} is for {has}, not {platform}", "take another base, or set [image] platform")
