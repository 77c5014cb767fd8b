"""Harbor: its own API tells when an image was pushed, and which have no tag.

https://goharbor.io/docs/main/working-with-projects/working-with-images/ ; the API: GET /api/v2.0/projects/{}/repositories/{}/artifacts
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from builder.errors import AuthError, StoreError
from builder.model.oci import is_digest
from builder.stores.interface import Held
from builder.stores.registry.client import Call, Client

_SERVICE = 'service="harbor-registry"'
_PAGE, _PAGES = 100, 100_000  # Harbor gives at most 100 at a time


def is_harbor(client: Client) -> bool:
    """By how its token server is called."""
    return _SERVICE in client.challenge()


def may_list(client: Client) -> bool:
    """Whether the credentials, which must be a user's or a robot's, may see artifacts there."""
    try:
        return client.send(_call(client, 1, 1)).status == 200
    except AuthError:
        return False


def held(client: Client) -> Iterator[Held]:
    """The oldest first: what is pushed meanwhile comes at the end. Parts of an index, and signatures, come with what they belong to."""
    seen: set[str] = set()
    for number in range(1, _PAGES):
        before = len(seen)
        artifacts = _artifacts(client, number)
        for artifact in artifacts:
            found = _held(artifact)
            if found and found.digest not in seen:
                seen.add(found.digest)
                yield found
        if len(artifacts) < _PAGE:
            return
        if len(seen) == before:
            break
    raise StoreError(f"{client.repository}: the list of artifacts does not end", "Harbor, or a proxy in front of it, is at fault")


def _artifacts(client: Client, number: int) -> list[dict[str, Any]]:
    try:
        found = json.loads(client.send(_call(client, number, _PAGE)).body)
    except (ValueError, RecursionError) as error:
        raise _unusable(client) from error
    if not isinstance(found, list) or not all(isinstance(artifact, dict) for artifact in found):
        raise _unusable(client)
    return found


def _call(client: Client, number: int, size: int) -> Call:
    """Slashes in a repository's name are quoted twice: Harbor says so."""
    project, _, repository = client.repository.name.partition("/")
    path = f"api/v2.0/projects/{quote(project, safe='')}/repositories/{quote(quote(repository, safe=''), safe='')}/artifacts"
    url = client.root(f"{path}?page={number}&page_size={size}&with_tag=true&sort=push_time")
    return Call("GET", url, "list the artifacts", basic=True)


def _held(artifact: dict[str, Any]) -> Held | None:
    """None for nonsense."""
    digest = artifact.get("digest")
    tags = [tag for tag in artifact.get("tags") or () if isinstance(tag, dict) and isinstance(tag.get("name"), str)]
    names = sorted(tag["name"] for tag in tags)
    if not isinstance(digest, str) or not is_digest(digest):
        return None
    times = [when for item in (artifact, *tags) if (when := _seconds(item.get("push_time"))) is not None]
    return Held(digest, tuple(names), max(times, default=None))


def _seconds(text: object) -> float | None:
    """Of `2026-11-26T17:00:00.000Z`; a time before 1970 is Harbor's way of saying never."""
    try:
        when = datetime.fromisoformat(str(text)[:19]).replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
    return when if when > 0 else None


def _unusable(client: Client) -> StoreError:
    return StoreError(f"{client.repository}: the list of artifacts is not what it should be", "is this Harbor, 2.0 or later?")
