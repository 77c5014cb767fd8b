"""A commit's image with what a shell needs on top: of a Dockerfile that is built on the commit's base and dependencies alone.

So it is built once for all commits that share these, and a box of any of them gets the same layer over its own files.
"""

from __future__ import annotations

import json
from typing import Any

from builder.image.base import Base, resolve
from builder.image.deps import dockerfile, key
from builder.image.deps.artifacts import Artifact
from builder.image.deps.dockerfile import DockerfileRecipe
from builder.image.deps.inputs import CommitFiles
from builder.image.handler import environment_image, store_beside
from builder.image.prepare import Workshop
from builder.model.annotations import TITLE
from builder.model.oci import Manifest
from builder.stores.interface import Store

_KIND = "deps"
_NO_FILES = CommitFiles(lambda _: None, lambda: (), lambda _: iter(()))
"""The Dockerfile copies nothing: what a shell needs is in no repository."""


def with_shell(shop: Workshop, image: Manifest, path: str, text: bytes, platform: str) -> str:
    """The digest of `image` with the Dockerfile's layers on top; built and stored if they are nowhere yet.

    Raises DepsError when it cannot be built here, UsageError when the image has neither base nor dependencies.
    """
    dockerfile.check(text, path)
    below = resolve(f"{shop.place.repository or shop.store.name}@{environment_image(shop.store, image)}", shop.store, shop.cache, platform)
    return _stored(shop.store, image, _layers(shop, below, path, text, platform))


def _layers(shop: Workshop, below: Base, path: str, text: bytes, platform: str) -> Artifact:
    recipe = DockerfileRecipe(key.dockerfile_key(text, (), {}, "", below.digest, platform), path, text, (), {}, "", platform)
    if found := shop.artifacts.find(recipe.tag, _KIND):
        return found
    with shop.progress.task(f"building {path}"):
        return dockerfile.build(recipe, _NO_FILES, below, shop.artifacts, shop.place)


def _stored(store: Store, image: Manifest, shell: Artifact) -> str:
    config = _config(json.loads(b"".join(store.open_blob(image.config.digest))), shell)
    return store_beside(store, config, (*image.layers, *shell.layers), image.annotations, "devbox")


def _config(config: dict[str, Any], shell: Artifact) -> dict[str, Any]:
    """The commit's own, over more layers."""
    lines = [{"created": config.get("created", ""), "created_by": layer.annotations.get(TITLE, "devbox")} for layer in shell.layers]
    rootfs = {**config["rootfs"], "diff_ids": [*config["rootfs"]["diff_ids"], *shell.diff_ids]}
    return {**config, "rootfs": rootfs, "history": [*(config.get("history") or []), *lines]}
