"""Images without the commit: a commit's image less its upper layers, the same for many commits.

When the commit's own image cannot be pulled, nothing can run in it, not even what says so. What looks after the end of a run has base,
dependencies and tool, and nodes have these layers already. A cluster that mounts the commit's files itself gets base and dependencies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from io import BytesIO
from typing import Any

from builder.errors import UsageError
from builder.model.annotations import KIND, STANDARD, TITLE
from builder.model.oci import CONFIG, MANIFEST, Descriptor, Manifest, canonical_json, sha256
from builder.stores.interface import Store

Kinds = tuple[str, ...]
"""Of layers: base, deps, tool."""

_COMMIT = "BUILDER_COMMIT="
_ENVIRONMENT = ("base", "deps")
_CREATED = "1980-01-01T00:00:00Z"


def handler_image(store: Store, image: Manifest) -> str:
    """The digest of the image without the code layers of `image`; stored if it is not there yet. Its layers are there: `image` has them.

    The same for every commit on the same base, dependencies, tool and `[image] env`.
    """
    return _stored(store, image, ("base", "deps", "tool"), "handler", "tells how runs ended")


def environment_image(store: Store, image: Manifest) -> str:
    """The digest of the image that has base and dependencies alone. Raises UsageError where there is neither."""
    if not _below(image, _ENVIRONMENT):
        hint = '[image] base, or [launch.STEP.slurm] container = "none"'
        raise UsageError("an image on scratch without dependencies is no environment for a container", hint)
    return _stored(store, image, _ENVIRONMENT, "environment", "base and dependencies")


def _stored(store: Store, image: Manifest, kinds: Kinds, name: str, title: str) -> str:
    layers = _below(image, kinds)
    config = _config(layers, json.loads(b"".join(store.open_blob(image.config.digest))))
    return store_beside(store, config, layers, {TITLE: title}, name)


def store_beside(store: Store, config: Mapping[str, Any], layers: tuple[Descriptor, ...], annotations: Mapping[str, str], name: str) -> str:
    """The digest of an image that is made of layers which the store has; stored as `<name>-<digest>` if it is not there yet."""
    data = canonical_json(config)
    manifest = Manifest(Descriptor(CONFIG, sha256(data), len(data)), layers, annotations)
    written = manifest.to_bytes()
    digest = sha256(written)
    tag = f"{name}-{digest[7:39]}"
    if store.get_manifest(tag) is None:
        store.put_blob(manifest.config, partial(BytesIO, data))
        store.put_manifest(written, MANIFEST, (tag,))
    return digest


def _below(image: Manifest, kinds: Kinds) -> tuple[Descriptor, ...]:
    """They are the lowest ones: base, dependencies, tool and code lie on each other in this order."""
    return tuple(layer for layer in image.layers if layer.annotations.get(KIND) in kinds)


def _config(below: tuple[Descriptor, ...], config: Mapping[str, Any]) -> dict[str, Any]:
    """The image's own, without whatever tells one commit from another."""
    inner = config.get("config") or {}
    labels = {key: value for key, value in (inner.get("Labels") or {}).items() if not key.startswith(STANDARD)}
    env = [variable for variable in inner.get("Env") or () if not variable.startswith(_COMMIT)]
    return {
        **config,
        "created": _CREATED,
        "config": {**inner, "Env": env, "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": config["rootfs"]["diff_ids"][: len(below)]},
        "history": list(_history(below, config.get("history") or [])),
    }


def _history(below: tuple[Descriptor, ...], lines: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The lines of these layers: a reader counts them. Those of dependencies and tool had the commit's date."""
    left = len(below)
    for line in lines:
        if not left and not line.get("empty_layer"):
            return
        own = not line.get("empty_layer") and below[len(below) - left].annotations.get(KIND) != "base"
        yield {"created_by": line.get("created_by", "")} if own else line
        left -= not line.get("empty_layer", False)
