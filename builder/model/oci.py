"""Images as the OCI image specification v1.1 has them: descriptors, manifests, configs.

https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from builder.errors import IntegrityError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_FROM_DOCKER = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar": LAYER_TAR,
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.docker.container.image.v1+json": CONFIG,
}


def sha256(data: bytes) -> str:
    """`sha256:` and 64 hex digits, of the bytes as they are."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def is_digest(text: str) -> bool:
    return _DIGEST.match(text) is not None


def canonical_json(value: object) -> bytes:
    """The same bytes for equal values on every machine: sorted keys, no spaces, ASCII only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob by what it is: media type, digest (`sha256:<64 hex>`), size in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return {**plain, "annotations": dict(self.annotations)} if self.annotations else plain

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Descriptor:
        """Docker's media types become their OCI equals. Raises IntegrityError on what is no descriptor."""
        try:
            digest, size, media_type = raw["digest"], raw["size"], raw["mediaType"]
        except (KeyError, TypeError) as error:
            raise IntegrityError(f"not a descriptor: {raw!r:.200}") from error
        if not isinstance(digest, str) or not is_digest(digest) or not isinstance(size, int) or size < 0:
            raise IntegrityError(f"not a descriptor: {raw!r:.200}")
        return cls(_FROM_DOCKER.get(media_type, media_type), digest, size, dict(raw.get("annotations") or {}))


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest: its config, its layers from the base up, its annotations."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The exact bytes whose sha256 is the image's digest."""
        raw: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }
        return canonical_json({**raw, "annotations": dict(self.annotations)} if self.annotations else raw)

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Reads an OCI or Docker schema 2 image manifest. Raises IntegrityError on anything else."""
        try:
            raw = json.loads(data)
        except ValueError as error:
            raise IntegrityError(f"not an image manifest: {data[:80]!r}") from error
        if not isinstance(raw, dict) or not isinstance(raw.get("layers"), list) or not isinstance(raw.get("config"), dict):
            raise IntegrityError(f"not an image manifest: {data[:80]!r}")
        layers = tuple(Descriptor.from_json(layer) for layer in raw["layers"])
        return cls(Descriptor.from_json(raw["config"]), layers, dict(raw.get("annotations") or {}))


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest (or index) as a store holds it: byte for byte, with its media type and digest."""

    data: bytes
    media_type: str
    digest: str
