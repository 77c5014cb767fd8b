"""Blobs: look, mount, upload, download.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-blobs
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

from builder.errors import AuthError, IntegrityError, StoreError
from builder.model.oci import Descriptor
from builder.stores.interface import OpenBlob
from builder.stores.registry.answers import Answer, RefusedError
from builder.stores.registry.auth import Grants, pull, push
from builder.stores.registry.client import MIB, Call, Client
from builder.stores.registry.retry import TransientError

WORTH_A_LOOK = MIB
"""Bytes from which one HEAD is cheaper than sending a blob that may be there already."""
_CHUNK = MIB // 4


def has_blob(client: Client, digest: str) -> bool:
    return client.send(_head(client, digest)).status == 200


def upload(client: Client, blob: Descriptor, source: OpenBlob, mount_from: str, create: Callable[[], None] | None) -> bool:
    """Mounts the blob, or sends it: POST, then one PUT. Two requests; three when it is worth a look. True when bytes were sent.

    Some registries refuse chunked PATCH, so there is none. A PUT that fails is begun again with a new session, after a look whether
    it arrived. `create` makes a repository that the registry does not know and does not make itself.
    """

    def attempt(tried: int) -> bool:
        if (tried or (blob.size >= WORTH_A_LOOK and not mount_from)) and client.once(_head(client, blob.digest)).status == 200:
            return tried > 0
        answer = _begin(client, blob, mount_from if tried < 2 else "", create)
        if answer.status == 201:
            return False
        session = client.location(answer)
        if mount_from and not tried and blob.size >= WORTH_A_LOOK and client.once(_head(client, blob.digest)).status == 200:
            _cancel(client, session)
            return False
        _finish(client, session, blob, source)
        return True

    return client.retry.run(attempt)


def download(client: Client, digest: str) -> Iterator[bytes]:
    """The blob in chunks of at most 256 KiB. After a cut it goes on from where it was, when the registry knows Range."""
    hasher, done, tried = hashlib.sha256(), 0, 0
    started = client.retry.clock()
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
            client.retry.pause(error, tried, started)
            started = client.retry.clock()
    if f"sha256:{hasher.hexdigest()}" != digest:
        raise IntegrityError(
            f"{client.repository}: the bytes of {digest} do not hash to it", "the registry's copy is broken: push it again"
        )


def _head(client: Client, digest: str) -> Call:
    return Call("HEAD", client.url(f"blobs/{digest}"), f"look for {digest}", pull(client.repository.name), ok=frozenset({200, 404}))


def _begin(client: Client, blob: Descriptor, mount_from: str, create: Callable[[], None] | None) -> Answer:
    """201: mounted. 202: refused or not asked for, and the Location is a live session.

    Harbor answers 401 when the source project is missing, others 4xx: then the same without a mount. Never `mount` without `from`
    (Quay fails).
    """
    if mount_from and mount_from != client.repository.name:
        try:
            return client.once(_start(client, blob.digest, {"mount": blob.digest, "from": mount_from}, pull(mount_from)))
        except TransientError:
            raise
        except (AuthError, RefusedError):
            pass
    plain = _start(client, blob.digest, {}, frozenset())
    try:
        return client.once(plain)
    except RefusedError as error:
        if create is None or error.status != 404:
            raise
        create()
        return client.once(plain)


def _start(client: Client, digest: str, query: dict[str, str], extra: Grants) -> Call:
    url = client.url("blobs/uploads/") + ("?" + urlencode(query) if query else "")
    ok = frozenset({201, 202} if query else {202})
    return Call("POST", url, f"begin the upload of {digest}", push(client.repository.name) | extra, ok=ok)


def _finish(client: Client, session: str, blob: Descriptor, source: OpenBlob) -> None:
    url = session + ("&" if "?" in session else "?") + urlencode({"digest": blob.digest})
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
    call = Call(
        "PUT",
        url,
        f"upload {blob.digest}",
        push(client.repository.name),
        headers,
        lambda: _exactly(blob, source),
        frozenset({200, 201, 204}),
    )
    try:
        answer = client.once(call)
    except RefusedError as error:
        if "DIGEST_INVALID" in error.codes:
            raise IntegrityError(f"{client.repository}: what was sent as {blob.digest} does not hash to it", "run it again") from error
        if error.status in (404, 416):  # the session is gone: only a new one helps
            raise TransientError(error.message) from error
        raise
    if answer.digest not in ("", blob.digest):
        raise IntegrityError(f"{client.repository}: {blob.digest} was stored as {answer.digest}", "the registry is at fault")


def _cancel(client: Client, session: str) -> None:
    call = Call("DELETE", session, "end an upload", push(client.repository.name), ok=frozenset({202, 204, 404, 405}))
    try:
        client.once(call)
    except StoreError:
        return  # an upload that is never finished goes away by itself


def _exactly(blob: Descriptor, source: OpenBlob) -> Iterator[bytes]:
    """The blob's bytes. Fewer or more than its size would leave the connection in a state that no one can mend."""
    left = blob.size
    try:
        with source() as stream:
            while chunk := stream.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
    except OSError as error:
        raise StoreError(f"cannot read the bytes of {blob.digest}: {error.strerror}") from error
    if left:
        raise IntegrityError(f"{blob.digest} is not {blob.size} bytes long", "its file changed while it was read: run it again")


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
