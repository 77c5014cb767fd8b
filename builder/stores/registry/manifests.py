"""Manifests and tags, byte for byte.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-manifests
"""

from __future__ import annotations

import json
import re
import time
from typing import Any
from urllib.parse import urljoin

from builder.errors import BlobUnknownError, IntegrityError, StoreError, TagConflictError, UsageError
from builder.model.oci import DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST, StoredManifest, is_digest, sha256
from builder.stores.registry.answers import Answer, RefusedError
from builder.stores.registry.auth import pull, push
from builder.stores.registry.client import Call, Client
from builder.stores.registry.urls import origin

_ACCEPT = {"Accept": ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX))}
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\Z")
_UNKNOWN_BLOB = {"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"}
_PAGE, _PAGES, _BARREN = 1000, 10_000, 10
"""Tags in one page, as asked for; pages at most, and those among them, one after the other, without anything new."""
_LIST_LIMIT = 32 << 20  # docker-registry 2.8 gives all tags at once, however many are asked for: a hundred bytes each
_A_MOMENT = 0.2  # seconds


def get(client: Client, ref: str) -> StoredManifest | None:
    answer = client.send(_look(client, "GET", ref))
    if answer.status == 404:
        return None
    if not answer.body.lstrip().startswith((b"{", b"[")):
        raise StoreError(
            f"{client.repository}: what came as {ref} is not an image manifest: {answer.body[:60]!r}",
            f"is {client.repository.host} a container registry, or is a login page or proxy in front of it?",
        )
    digest = sha256(answer.body)
    wanted = ref if is_digest(ref) else answer.digest
    if wanted and wanted != digest:
        raise IntegrityError(
            f"{client.repository}: the manifest {ref} should be {wanted}, but its bytes are {digest}", "the registry is at fault"
        )
    return StoredManifest(answer.body, _media_type(answer), digest)


def put(client: Client, data: bytes, media_type: str, tags: tuple[str, ...]) -> str:
    """Each tag: one HEAD, then one PUT unless it names the digest already. All free tags are set before a conflict is raised."""
    digest = sha256(data)
    named = _look_up(client, tags)
    taken = {tag: now for tag, now in named.items() if now not in ("", digest)}
    free = [tag for tag, now in named.items() if not now]
    for ref in free or ([] if digest in named.values() else [digest]):
        if other := _put_one(client, ref, data, media_type, digest):
            taken[ref] = other
    if taken:
        said = ", ".join(f"{tag} names {now}" for tag, now in taken.items())
        raise TagConflictError(f"{client.repository}: {said}, not {digest}", "a tag is never overwritten: name the image by its digest")
    return digest


def _look_up(client: Client, tags: tuple[str, ...]) -> dict[str, str]:
    """What each tag names now, asked for at once. (Setting them at once is no good: registries write the same manifest twice, half.)"""
    if len(tags) < 2:
        return {tag: tag_digest(client, tag) for tag in tags}
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(tags), "tag") as pool:
        return dict(zip(tags, pool.map(lambda tag: tag_digest(client, tag), tags), strict=True))


def tag_digest(client: Client, tag: str) -> str:
    """What a tag names now; empty when there is no such tag."""
    answer = client.send(_look(client, "HEAD", tag))
    if answer.status == 404:
        return ""
    if is_digest(answer.digest):
        return answer.digest
    found = get(client, tag)
    return found.digest if found else ""


def list_tags(client: Client) -> tuple[str, ...]:
    """Follows `Link: <...>; rel="next"`; never twice to the same page. Raises StoreError on a list that does not end."""
    found: set[str] = set()
    seen: set[str] = set()
    url, barren = client.url(f"tags/list?n={_PAGE}"), 0
    while url and url not in seen:
        seen.add(url)
        answer = client.send(Call("GET", url, "list the tags", pull(client.repository.name), ok=frozenset({200, 404}), limit=_LIST_LIMIT))
        if answer.status == 404:
            break
        tags = _tags(client, answer.body)
        barren = barren + 1 if found.issuperset(tags) else 0
        if barren > _BARREN or len(seen) > _PAGES:
            raise StoreError(f"{client.repository}: the list of tags does not end", "the registry, or a proxy in front of it, is at fault")
        found.update(tags)
        url = next_page(client, answer)
    return tuple(sorted(found))


def _look(client: Client, method: str, ref: str) -> Call:
    return Call(method, _url(client, ref), f"look for {ref}", pull(client.repository.name), _ACCEPT, ok=frozenset({200, 404}))


def _url(client: Client, ref: str) -> str:
    if not is_digest(ref) and not _TAG.match(ref):
        raise UsageError(f"{ref!r} is neither a tag nor a sha256 digest")
    return client.url(f"manifests/{ref}")


def _put_one(client: Client, ref: str, data: bytes, media_type: str, digest: str) -> str:
    """Empty when `ref` names the manifest afterwards, else the other digest that an immutable tag names."""
    headers = {"Content-Type": media_type}
    call = Call(
        "PUT", _url(client, ref), f"put the manifest {ref}", push(client.repository.name), headers, data, frozenset({200, 201, 202})
    )
    try:
        answer = _send_patiently(client, call)
    except RefusedError as error:
        if _UNKNOWN_BLOB & set(error.codes):
            raise BlobUnknownError(error.message, "its blobs must be pushed first") from error
        now = "" if ref == digest else tag_digest(client, ref)
        if not now:
            raise
        return "" if now == digest else now
    if answer.digest not in ("", digest):
        raise IntegrityError(f"{client.repository}: the manifest {digest} was stored as {answer.digest}", "the registry is at fault")
    if b'"subject"' in data and "OCI-Subject" not in answer.headers:
        from builder.stores.registry.referrers import add_referrer

        add_referrer(client, data, media_type, digest)
    return ""


def _send_patiently(client: Client, call: Call) -> Answer:
    """Asks again, once: docker-registry does not see a blob for a moment while somebody else uploads the same one."""
    try:
        return client.send(call)
    except RefusedError as error:
        if not _UNKNOWN_BLOB & set(error.codes):
            raise
    time.sleep(_A_MOMENT)
    return client.send(call)


def _media_type(answer: Answer) -> str:
    """The manifest's own word first: a registry's Content-Type may carry parameters, or be text/plain."""
    try:
        said = json.loads(answer.body).get("mediaType")
    except (ValueError, AttributeError, RecursionError):
        said = None
    return said if isinstance(said, str) else answer.headers.get("Content-Type", "").partition(";")[0].strip()


def _tags(client: Client, body: bytes) -> list[str]:
    try:
        tags: Any = json.loads(body)["tags"] or []
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise StoreError(f"{client.repository}: the list of tags is not what it should be", "is this a container registry?") from error
    return [tag for tag in tags if isinstance(tag, str) and _TAG.match(tag)] if isinstance(tags, list) else []


def next_page(client: Client, answer: Answer) -> str:
    """Of `Link: <...>; rel="next"` (RFC 8288); empty on the last page.

    A next page of another host would be someone else's list, and to stop there half a list.
    """
    link = answer.headers.get("Link", "")
    match = re.match(r'\s*<([^>\s]+)>\s*;[^,]*rel="?next"?', link)
    url = urljoin(answer.url, match[1]) if match else ""
    if url and origin(url) != origin(answer.url):
        raise StoreError(
            f"{client.repository}: the list goes on at another place, {origin(url)[1]}",
            "a proxy in front of the registry must pass Host and X-Forwarded-Proto on",
        )
    return url
