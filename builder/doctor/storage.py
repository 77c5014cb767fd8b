"""The store and the base."""

from __future__ import annotations

from pathlib import Path

from builder.doctor.machine import existing
from builder.doctor.scene import Found, Scene, failed, not_needed, ok
from builder.model.units import size

_PROBE = "builder-doctor"  # a tag that nobody has: one request that shows address, credentials and rights


def store(scene: Scene) -> Found:
    target = scene.settings.store.target
    opened = scene.open_store("")
    opened.get_manifest(_PROBE)
    if target.startswith("oci:"):
        return _layout(opened.name.removeprefix("oci:"), len(opened.list_tags()))
    return ok(f"{opened.name} answers")


def _layout(directory: str, tags: int) -> Found:
    import os

    there = existing(Path(directory))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return failed(f"{there} cannot be written", "change its owner, or set [store] to")
    if there != Path(directory):
        return ok(f"oci:{directory} will be made")
    return ok(f"oci:{directory} is a valid layout with {tags} tags")


def credentials(scene: Scene) -> Found:
    target = scene.settings.store.target
    if target.startswith(("oci:", "docker:")):
        return not_needed(f"{target} needs none")
    from builder.model.reference import Repository
    from builder.stores.registry.credentials import find_credential

    host = Repository.parse(target).host
    found = find_credential(host)
    if found is None:
        return not_needed(f"none for {host}: anonymous; if it asks for them, `docker login {host}`")
    return ok(f"{found.username or 'an identity token'} for {host}")


def base(scene: Scene) -> Found:
    """It must be named by digest, be there, and be in the store that commits go to."""
    from builder.cache import blob_cache
    from builder.image.base import SCRATCH, load_base, pinned, require_base

    text = scene.settings.image.base
    if not text:
        return failed("no base", "run `builder init`, or `builder base pin REF`")
    if text == SCRATCH:
        return ok("scratch: the code alone")
    name = pinned(text)[0]
    if name.startswith("oci:"):
        name = f"oci:{scene.settings.root / name.removeprefix('oci:')}"
    cache = blob_cache(scene.environ)
    target, image = scene.open_store(""), scene.settings.image
    found = load_base(text, [target, scene.open_store(name)], cache, image.platform, image.python)
    if not target.sparse:
        require_base(found, target)
    detail = f"{text}: {_layers(len(found.layers))}, {size(found.size)}"
    return ok(detail + (f", Python {found.python}" if found.python else ", Python unknown: no tool layers"))


def _layers(count: int) -> str:
    return f"{count} layer" + ("" if count == 1 else "s")
