"""index.json of an OCI layout: which manifests it names, under which tags.

https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builder.errors import IntegrityError
from builder.model.oci import Descriptor, canonical_json, is_digest

REF_NAME = "org.opencontainers.image.ref.name"


_HINT = "put back a copy, or remove {path} and run `builder image --missing`, which writes a new one: images that are there are found again"


@dataclass(frozen=True, slots=True)
class Index:
    """The file as it is, and what it names. An entry is added to the bytes themselves: making them anew is slow with 100,000 images."""

    data: bytes = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tag -> digest."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Digest -> media type, in the order of the entries."""

    @classmethod
    def from_bytes(cls, data: bytes, path: Path) -> Index:
        """Raises IntegrityError, naming `path`, on what is no index."""
        try:
            raw = json.loads(data)
        except ValueError as error:
            raise IntegrityError(f"{path} is damaged: {error}", _HINT.format(path=path)) from error
        entries = raw.get("manifests") if isinstance(raw, dict) else None
        if not isinstance(entries, list) or not all(map(_is_entry, entries)):
            raise IntegrityError(f"{path} is damaged: not an image index", _HINT.format(path=path))
        tags = {entry["annotations"][REF_NAME]: entry["digest"] for entry in entries if REF_NAME in (entry.get("annotations") or ())}
        return cls(_appendable(data, raw), tags, {entry["digest"]: entry.get("mediaType", "") for entry in entries})

    def with_manifest(self, manifest: Descriptor, tags: tuple[str, ...]) -> Index:
        """An entry for each tag, or one without a tag when nothing names the manifest yet. The same index when there is nothing to add."""
        if not tags and manifest.digest in self.digests:
            return self
        plain = manifest.to_json()
        added = [{**plain, "annotations": {REF_NAME: tag}} for tag in tags] or [plain]
        text = b",".join(canonical_json(entry) for entry in added)
        return Index(
            self.data[:-2] + (b"," if self.digests else b"") + text + b"]}",
            {**self.tags, **dict.fromkeys(tags, manifest.digest)},
            {**self.digests, manifest.digest: manifest.media_type},
        )

    def without(self, digests: AbstractSet[str]) -> Index:
        """The index less every entry of these manifests; the same one when it has none."""
        if self.digests.keys().isdisjoint(digests):
            return self
        raw = json.loads(self.data)
        raw["manifests"] = [entry for entry in raw["manifests"] if entry["digest"] not in digests]
        tags = {tag: digest for tag, digest in self.tags.items() if digest not in digests}
        kept = {digest: media_type for digest, media_type in self.digests.items() if digest not in digests}
        return Index(json.dumps(raw, separators=(",", ":")).encode(), tags, kept)


def _appendable(data: bytes, raw: dict[str, Any]) -> bytes:
    """The same index with `manifests` as its last key and no space after it. Keys and entries of other tools are kept."""
    if next(reversed(raw)) == "manifests" and data.endswith((b"[]}", b"}]}")):
        return data
    entries = raw.pop("manifests")
    return json.dumps({**raw, "manifests": entries}, separators=(",", ":")).encode()


def _is_entry(raw: object) -> bool:
    if not isinstance(raw, dict) or not isinstance(raw.get("digest"), str) or not is_digest(raw["digest"]):
        return False
    annotations = raw.get("annotations") or {}
    return isinstance(annotations, dict) and isinstance(annotations.get(REF_NAME, ""), str)
