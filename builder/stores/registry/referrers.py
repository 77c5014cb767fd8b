"""What refers to an image, such as its signatures: the referrers API says it, and tags that begin as `sha256-<hex>` do.

Under that tag is an index which lists what has a subject; cosign's own are `sha256-<hex>.sig`, `.att` and `.sbom`.
https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers and #referrers-tag-schema
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from builder.errors import IntegrityError, StoreError
from builder.model.oci import INDEX, canonical_json, is_digest, sha256
from builder.stores.registry.auth import pull, push
from builder.stores.registry.client import Call, Client

_TRIES = 4
_PAGES = 100
_TAG = re.compile(r"sha256-([0-9a-f]{64})(\.[a-z]+)?\Z")


def _about(tag: str) -> str:
    """The digest of the image that a tag of this kind is about; empty for any other tag."""
    match = _TAG.match(tag)
    return f"sha256:{match[1]}" if match else ""


class Referrers:
    """Of the images of one repository. Its tags are asked for once, unless `learn` has told them."""

    def __init__(self, client: Client, list_tags: Callable[[], Iterable[str]]) -> None:
        self._client, self._list_tags = client, list_tags
        self._tags: dict[str, list[str]] | None = None
        self._api = True

    def learn(self, tags: Iterable[str]) -> None:
        self._tags = {}
        for tag in tags:
            if subject := _about(tag):
                self._tags.setdefault(subject, []).append(tag)

    def of(self, digest: str) -> tuple[str, ...]:
        """What says of itself that `digest` is its subject, what a tag says so of, and the list of them."""
        from builder.stores.registry import manifests

        if self._tags is None:
            self.learn(self._list_tags())
        found, listed = set(), set(self._from_api(digest))
        for tag in (self._tags or {}).get(digest, ()):
            stored = manifests.get(self._client, tag)
            if stored is not None:
                found.add(stored.digest)
                listed.update(_digests(stored.data) if tag == digest.replace(":", "-") else ())
        for one in listed - found:  # a list may be old, or wrong
            stored = manifests.get(self._client, one)
            if stored is not None and _subject(stored.data) == digest:
                found.add(one)
        return tuple(sorted(found))

    def _from_api(self, digest: str) -> Iterator[str]:
        from builder.stores.registry import manifests

        url, pages = self._client.url(f"referrers/{digest}"), 0
        while url and self._api:
            ok = frozenset({200, 400, 404, 405, 501})
            answer = self._client.send(Call("GET", url, f"list what refers to {digest}", pull(self._client.repository.name), ok=ok))
            if answer.status != 200 or "json" not in answer.headers.get("Content-Type", ""):
                self._api = False  # who has the API never answers 404
                return
            yield from _digests(answer.body)
            url, pages = manifests.next_page(self._client, answer), pages + 1
            if pages > _PAGES:
                raise StoreError(f"{self._client.repository}: the list of what refers to {digest} does not end", "the registry is at fault")


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
    raw = json.loads(data)
    subject = raw.get("subject") if isinstance(raw, dict) else None
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


def _digests(data: bytes) -> list[str]:
    return [item["digest"] for item in _listed(data) if isinstance(item.get("digest"), str) and is_digest(item["digest"])]
