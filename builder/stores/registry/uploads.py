"""Uploads: mount, or POST and one PUT.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-blobs
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlencode

from builder.errors import AuthError, IntegrityError, StoreError
from builder.model.oci import Descriptor
from builder.stores.interface import OpenBlob
from builder.stores.registry.answers import Answer, RefusedError
from builder.stores.registry.auth import Grants, pull, push
from builder.stores.registry.blobs import look
from builder.stores.registry.client import MIB, Call, Client
from builder.stores.registry.retry import TransientError

WORTH_A_LOOK = MIB
"""Bytes from which one HEAD is cheaper than sending a blob that may be there already."""
_CHUNK = MIB // 4


class SessionLostError(TransientError):
    """The registry does not know the upload that is being finished (404), or holds other bytes than we sent (416)."""


class Uploader:
    """Puts blobs into the client's repository.

    Two requests for each, POST and PUT (some registries refuse chunked PATCH, so there is none); one when it can be mounted; one more
    when it is worth a look. A PUT that fails is begun again with a new session, after a look whether it arrived. A session that is lost
    (404, 416) is replaced once: the spec's GET for its Range would only say where chunks go on, and there are none.
    `create` makes a repository that the registry does not know and does not make itself.
    """

    def __init__(self, client: Client, create: Callable[[], None] | None) -> None:
        self._client, self._create = client, create
        self._shunned: set[str] = set()  # repositories that nothing can be mounted from: asked once

    def put(self, blob: Descriptor, source: OpenBlob, mount_from: str) -> bool:
        """True when bytes were sent."""
        lost: list[SessionLostError] = []

        def attempt(tried: int) -> bool:
            try:
                return self._attempt(tried, blob, source, mount_from)
            except SessionLostError as error:
                if lost:
                    raise StoreError(error.message, "the registry forgets its uploads: its operator has to mend this") from error
                lost.append(error)
                raise

        return self._client.retry.run(attempt)

    def _attempt(self, tried: int, blob: Descriptor, source: OpenBlob, mount_from: str) -> bool:
        mounts = tried < 2 and mount_from not in ("", self._client.repository.name) and mount_from not in self._shunned
        if (tried or (blob.size >= WORTH_A_LOOK and not mounts)) and self._is_there(blob):
            return tried > 0
        answer = self._begin(blob, mount_from if mounts else "")
        if answer.status == 201:
            return False
        session = self._client.location(answer)
        if mounts and not tried and blob.size >= WORTH_A_LOOK and self._is_there(blob):
            self._cancel(session)
            return False
        self._finish(session, blob, source)
        return True

    def _is_there(self, blob: Descriptor) -> bool:
        return self._client.once(look(self._client, blob.digest)).status == 200

    def _begin(self, blob: Descriptor, mount_from: str) -> Answer:
        """201: mounted. 202: refused or not asked for, and the Location is a live session.

        Harbor answers 401 when the source project is missing, others 4xx: then the same without a mount. Never `mount` without
        `from`: Quay fails.
        """
        if mount_from:
            try:
                return self._post_or_create(self._post(blob.digest, {"mount": blob.digest, "from": mount_from}, pull(mount_from)))
            except (AuthError, RefusedError):
                self._shunned.add(mount_from)
        return self._post_or_create(self._post(blob.digest, {}, frozenset()))

    def _post_or_create(self, call: Call) -> Answer:
        try:
            return self._client.once(call)
        except RefusedError as error:
            if self._create is None or error.status != 404:
                raise
            self._create()
            return self._client.once(call)

    def _post(self, digest: str, query: dict[str, str], extra: Grants) -> Call:
        url = self._client.url("blobs/uploads/") + ("?" + urlencode(query) if query else "")
        ok = frozenset({201, 202} if query else {202})
        return Call("POST", url, f"begin the upload of {digest}", push(self._client.repository.name) | extra, ok=ok)

    def _finish(self, session: str, blob: Descriptor, source: OpenBlob) -> None:
        repository = self._client.repository
        url = session + ("&" if "?" in session else "?") + urlencode({"digest": blob.digest})
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
        ok = frozenset({200, 201, 204})
        call = Call("PUT", url, f"upload {blob.digest}", push(repository.name), headers, lambda: _exactly(blob, source), ok)
        try:
            answer = self._client.once(call)
        except RefusedError as error:
            if "DIGEST_INVALID" in error.codes:
                raise IntegrityError(f"{repository}: what was sent as {blob.digest} does not hash to it", "run it again") from error
            if error.status in (404, 416):  # the session is gone, or holds bytes of a try before: only a new one helps
                raise SessionLostError(error.message) from error
            raise
        if answer.digest not in ("", blob.digest):
            raise IntegrityError(f"{repository}: {blob.digest} was stored as {answer.digest}", "the registry is at fault")

    def _cancel(self, session: str) -> None:
        call = Call("DELETE", session, "end an upload", push(self._client.repository.name), ok=frozenset({202, 204, 404, 405}))
        try:
            self._client.once(call)
        except (StoreError, AuthError):
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
