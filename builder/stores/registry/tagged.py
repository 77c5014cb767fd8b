"""What a plain registry tells of its images: those that have a tag, without a date."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from builder.stores.interface import Held
from builder.stores.registry import manifests
from builder.stores.registry.client import POOL, Client

_AT_ONCE = 1000
"""Questions that wait for a thread."""


def held(client: Client, tags: tuple[str, ...]) -> Iterator[Held]:
    """One small question for each tag. `pushed` is None: the distribution API has no dates."""
    named: dict[str, list[str]] = {}
    with ThreadPoolExecutor(POOL, "held") as pool:
        for start in range(0, len(tags), _AT_ONCE):
            some = tags[start : start + _AT_ONCE]
            for tag, digest in zip(some, pool.map(lambda tag: manifests.tag_digest(client, tag), some), strict=True):
                if digest:  # else it went meanwhile, or names a manifest that is gone
                    named.setdefault(digest, []).append(tag)
    for digest, these in named.items():
        yield Held(digest, tuple(these), None)
