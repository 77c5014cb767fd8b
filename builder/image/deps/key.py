"""Keys of dependencies: the hash of everything that they are made from, and nothing else. Computed from git, without running anything."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

from builder.image.layers import CODEC
from builder.model.oci import canonical_json
from builder.model.tree import Entry

FORMAT, LOCK_FORMAT = 1, 2
"""Of keys in general, and of layers from a lock: goes up when the same inputs make other layers than before."""


def lock_key(lock: bytes, provided: Iterable[str], python: str, platform: str) -> str:
    """Of layers installed from a lock: the base does not matter, only its Python ("3.12") does."""
    inputs = {"lock": _sha256(lock), "provided": sorted(provided), "python": python, "platform": platform, "codec": CODEC}
    return _key({"way": "lock", "format": LOCK_FORMAT, **inputs})


def dockerfile_key(
    dockerfile: bytes, context: Iterable[Entry], args: Mapping[str, str], target: str, base_digest: str, platform: str
) -> str:
    """Of an image built from a Dockerfile. Files of the context count by path, mode and git's own hash of their content."""
    files = sorted((os.fsdecode(entry.path), entry.mode, entry.oid) for entry in context)
    inputs = {"dockerfile": _sha256(dockerfile), "context": files, "args": dict(args), "target": target}
    return _key({"way": "dockerfile", **inputs, "base": base_digest, "platform": platform})


def _key(inputs: Mapping[str, Any]) -> str:
    """32 hex digits, short enough for a tag."""
    return _sha256(canonical_json({"format": FORMAT, **inputs}))[:32]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
