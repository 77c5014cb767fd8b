"""What lies below the code of a commit's image, as an image of its own: nodes pull it before a run needs it."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

from builder.model.annotations import KIND
from builder.model.oci import CONFIG, MANIFEST, Descriptor, Manifest, canonical_json, sha256
from builder.stores.interface import Store


def put_below_code(store: Store, image: Manifest) -> str:
    """The reference by digest of the image of base, dependencies and tool; empty where there is no base, as then nothing can run.

    It is one config and one manifest: every layer is in the store already, and a node that has it unpacked lacks the code alone.
    The same for every commit that has these layers. The tag keeps it from being collected.
    """
    layers = tuple(layer for layer in image.layers if layer.annotations.get(KIND) != "code")
    if not any(layer.annotations.get(KIND) == "base" for layer in layers):
        return ""
    config = _config(json.loads(b"".join(store.open_blob(image.config.digest))), len(layers))
    descriptor = Descriptor(CONFIG, sha256(config), len(config))
    data = Manifest(descriptor, layers).to_bytes()
    digest = sha256(data)
    if store.get_manifest(digest) is None:
        store.put_blob(descriptor, lambda: BytesIO(config))
        store.put_manifest(data, MANIFEST, (f"below-{digest[7:39]}",))
    return store.reference(digest)


def _config(image: dict[str, Any], layers: int) -> bytes:
    """Nothing in it is of one commit: code layers are the topmost."""
    platform: dict[str, Any] = {name: image[name] for name in ("architecture", "os", "variant") if name in image}
    rootfs = {"type": "layers", "diff_ids": image["rootfs"]["diff_ids"][:layers]}
    history = [{"created_by": "layer"} for _ in range(layers)]
    return canonical_json({**platform, "config": {}, "rootfs": rootfs, "history": history})
