"""Blobs: look whether they are there, and read them.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-blobs
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from builder.errors import IntegrityError, StoreError
from builder.stores.registry.auth import pull
from builder.stores.registry.client import MIB, Call, Client
from builder.stores.registry.retry import TransientError

_CHUNK = MIB // 4


def has_blob(client: Client, digest: str) -> bool:
    return client.send(look(client, digest)).status == 200


def look(client: Client, digest: str) -> Call:
    """HEAD; 200 when the blob is there, 404 when not."""
    return Call("HEAD", client.url(f"blobs/{digest}"), f"look for {digest}", pull(client.repository.name), ok=frozenset({200, 404}))


def download(client: Client, digest: str) -> Iterator[bytes]:
    """The blob in chunks of at most 256 KiB. After a cut it goes on from where it was, when the registry knows Range."""
    hasher, done, tried = hashlib.sha256(), 0, 0
    while True:
        try:
            for chunk in _from(client, digest, done):
                hasher.update(chunk)
                done += len(chunk)
                tried = 0
                yield chunk
            break
        except TransientError as error:
            tried += 1
            client.retry.pause(error, tried)
    if f"sha256:{hasher.hexdigest()}" != digest:
        raise IntegrityError(
            f"{client.repository}: the bytes of {digest} do not hash to it", "the registry's copy is broken: push it again"
        )


def _from(client: Client, digest: str, start: int) -> Iterator[bytes]:
    headers = {"Range": f"bytes={start}-"} if start else {}
    url, name = client.url(f"blobs/{digest}"), client.repository.name
    call = Call("GET", url, f"read {digest}", pull(name), headers, ok=frozenset({200, 206, 416} if start else {200}))
    response = client.open(call)
    try:
        if response.status == 416:  # there was nothing left: the cut came after the last byte
            return
        skip = _to_skip(client, response.status, response.headers.get("Content-Range", ""), start)
        while chunk := client.read_chunk(call, response, _CHUNK):
            if len(chunk) > skip:
                yield chunk[skip:]
            skip = max(0, skip - len(chunk))
    finally:
        response.close()


def _to_skip(client: Client, status: int, content_range: str, start: int) -> int:
    """How many bytes of an answer are known already: all of them, when the registry ignored Range."""
    if status == 200:
        return start
    first = content_range.removeprefix("bytes ").partition("-")[0]
    if not first.isascii() or not first.isdigit() or int(first[:18]) > start:
        raise StoreError(f"{client.repository}: asked for bytes from {start}, got {content_range[:80]!r}", "the registry is at fault")
    return start - int(first)
