"""index.json of an OCI layout: which manifests it names, under which tags.

https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from builder.errors import IntegrityError
from builder.model.oci import DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST, Descriptor, is_digest

REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class Index:
    """The entries as JSON has them, so that what other tools wrote is kept; `rest` are the index's other keys."""

    entries: tuple[Mapping[str, Any], ...] = ()
    rest: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_bytes(cls, data: bytes, path: Path) -> Index:
        """Raises IntegrityError, naming `path`, on what is no index."""
        hint = f"put back a copy, or remove {path} and build again: the blobs are kept"
        try:
            raw = json.loads(data)
        except ValueError as error:
            raise IntegrityError(f"{path} is damaged: {error}", hint) from error
        entries = raw.get("manifests") if isinstance(raw, dict) else None
        if not isinstance(entries, list) or not all(_is_entry(entry) for entry in entries):
            raise IntegrityError(f"{path} is damaged: not an image index", hint)
        return cls(tuple(entries), {key: value for key, value in raw.items() if key not in ("manifests", "schemaVersion", "mediaType")})

    @cached_property
    def tags(self) -> Mapping[str, str]:
        """Tag -> digest."""
        named = (((entry.get("annotations") or {}).get(REF_NAME), entry["digest"]) for entry in self.entries)
        return {tag: digest for tag, digest in named if tag}

    @cached_property
    def digests(self) -> Mapping[str, str]:
        """Digest -> media type, in the order of the entries."""
        return {entry["digest"]: str(entry.get("mediaType", "")) for entry in self.entries}

    def with_manifest(self, manifest: Descriptor, tags: tuple[str, ...]) -> Index:
        """An entry for each tag, or one without a tag when nothing names the manifest yet. The same index when there is nothing to add."""
        if not tags and manifest.digest in self.digests:
            return self
        plain = manifest.to_json()
        added = tuple({**plain, "annotations": {REF_NAME: tag}} for tag in tags) or (plain,)
        return Index(self.entries + added, self.rest)

    def to_bytes(self) -> bytes:
        return json.dumps({"schemaVersion": 2, "mediaType": INDEX, **self.rest, "manifests": self.entries}, separators=(",", ":")).encode()


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


def _is_entry(raw: object) -> bool:
    if not isinstance(raw, dict) or not isinstance(raw.get("digest"), str) or not is_digest(raw["digest"]):
        return False
    return isinstance(raw.get("annotations") or {}, dict)
