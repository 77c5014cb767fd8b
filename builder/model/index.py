"""Image indexes: one name for the images of several platforms.

https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md
"""

from __future__ import annotations

import json
from typing import Any

from builder.errors import IntegrityError, StoreError
from builder.model.oci import DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST, Descriptor
from builder.model.platform import Platform


def is_index(media_type: str) -> bool:
    return media_type in (INDEX, DOCKER_INDEX)


def manifest_type(data: bytes) -> str:
    """The media type of a manifest or an index, from what it says or how it is made; empty for anything else."""
    try:
        raw = json.loads(data)
    except ValueError:
        return ""
    if not isinstance(raw, dict):
        return ""
    said = raw.get("mediaType")
    if said in (MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX):
        return str(said)
    if isinstance(raw.get("manifests"), list):
        return INDEX
    return MANIFEST if isinstance(raw.get("layers"), list) and "config" in raw else ""


def pick_platform(index: bytes, platform: str, what: str) -> Descriptor:
    """The manifest for `platform` (`os/architecture[/variant]`). Raises StoreError naming `what` and the platforms that there are."""
    entries = _entries(index, what)
    wanted = Platform.parse(platform)
    for entry in entries:
        if wanted.fits(entry.get("platform") or {}):
            return Descriptor.from_json(entry)
    there = ", ".join(dict.fromkeys(_platform(entry) for entry in entries if _platform(entry)))
    raise StoreError(f"{what} has no image for {platform}", f"it has {there or 'none that says its platform'}; see [image] platform")


def _entries(index: bytes, what: str) -> list[dict[str, Any]]:
    raw = json.loads(index)
    entries = raw.get("manifests") if isinstance(raw, dict) else None
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("platform") or {}, dict) for entry in entries
    ):
        raise IntegrityError(f"{what} is not an image index")
    return entries


def _platform(entry: dict[str, Any]) -> str:
    """Empty for what is no image, such as BuildKit's attestations (`unknown/unknown`)."""
    has = entry.get("platform") or {}
    parts = [str(has[key]) for key in ("os", "architecture", "variant") if has.get(key)]
    return "" if not parts or parts[0] == "unknown" else "/".join(parts)
