"""The referrers tag, for registries without the referrers API: an index under `sha256-<hex>` that lists what has a subject.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#referrers-tag-schema
"""

from __future__ import annotations

import json
from typing import Any

from builder.errors import IntegrityError, StoreError
from builder.model.oci import INDEX, canonical_json, is_digest, sha256
from builder.stores.registry.auth import push
from builder.stores.registry.client import Call, Client

_TRIES = 4


def add_referrer(client: Client, data: bytes, media_type: str, digest: str) -> None:
    """Adds the manifest to its subject's list. The list is read again after it was written: two writers may meet."""
    from builder.stores.registry import manifests

    entry = _entry(data, media_type, digest)
    if entry is None:
        return
    tag = _subject(data).replace(":", "-")
    for _ in range(_TRIES):
        found = manifests.get(client, tag)
        listed = _listed(found.data) if found else []
        if any(item.get("digest") == digest for item in listed):
            return
        index = canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*listed, entry]})
        headers, ok = {"Content-Type": INDEX}, frozenset({200, 201, 202})
        call = Call("PUT", client.url(f"manifests/{tag}"), f"list {digest} under {tag}", push(client.repository.name), headers, index, ok)
        client.send(call)
    raise StoreError(f"{client.repository}: the list of referrers {tag} changes too quickly", "run it again")


def _subject(data: bytes) -> str:
    subject = json.loads(data).get("subject")
    digest = subject.get("digest") if isinstance(subject, dict) else None
    return digest if isinstance(digest, str) and is_digest(digest) else ""


def _entry(data: bytes, media_type: str, digest: str) -> dict[str, Any] | None:
    """The descriptor that stands in the list; None for a manifest without a subject."""
    if not _subject(data):
        return None
    raw = json.loads(data)
    artifact = raw.get("artifactType") or (raw.get("config") or {}).get("mediaType")
    optional = {"artifactType": artifact, "annotations": raw.get("annotations")}
    return {"mediaType": media_type, "digest": digest, "size": len(data), **{key: value for key, value in optional.items() if value}}


def _listed(data: bytes) -> list[dict[str, Any]]:
    try:
        manifests = json.loads(data)["manifests"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise IntegrityError(f"the list of referrers {sha256(data)} is no index", "delete its tag") from error
    return [item for item in manifests if isinstance(item, dict)] if isinstance(manifests, list) else []
