"""DELETE of manifests, and what registries answer to it.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#deleting-manifests
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from builder.errors import AuthError, CannotDeleteError, StoreError
from builder.model.oci import is_digest
from builder.stores.batches import remove_in_batches
from builder.stores.interface import GONE, REMOVED
from builder.stores.registry.answers import Answer, RefusedError
from builder.stores.registry.auth import push
from builder.stores.registry.client import POOL, Call, Client

_BATCH = 8 * POOL
_PER_IMAGE = frozenset({400, 403, 409, 412, 423})
"""Refusals that may be about one image: Harbor's immutable tags are 412, what a policy holds is 403, what is still used 409."""
_OFF = "switch deletion on: REGISTRY_STORAGE_DELETE_ENABLED=true, or storage.delete.enabled in its configuration; then run this again"


class Remover:
    """Removes manifests of one repository, some at once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._removed = False

    def remove(self, digests: Iterable[str]) -> Iterator[tuple[str, str]]:
        """As `Holdings.remove`. A 403 before anything could be removed is an AuthError, later it is a refusal of that image."""
        with ThreadPoolExecutor(POOL, "remove") as pool:
            yield from remove_in_batches(digests, _BATCH, lambda batch: self._some(pool, batch))

    def _some(self, pool: ThreadPoolExecutor, batch: list[str]) -> dict[str, str]:
        answers = dict(zip(batch, pool.map(self._one, batch), strict=True))
        self._removed |= REMOVED in answers.values()
        denied = [error for error in answers.values() if isinstance(error, AuthError)]
        if denied and not self._removed:
            raise denied[0]
        return {
            digest: f"refused: {became.message}" if isinstance(became, StoreError | AuthError) else became
            for digest, became in answers.items()
        }

    def _one(self, digest: str) -> str | StoreError | AuthError:
        """What became of it, or why the registry keeps it. Raises what stops everything."""
        answer, tried = self._client.retry.run(lambda tried: (self._client.once(self._call(digest)), tried))
        if answer.status in (200, 202):
            return REMOVED
        if answer.status == 404:
            return REMOVED if tried else GONE  # an answer to an earlier try was lost
        return self._refused(digest, answer)

    def _refused(self, digest: str, answer: Answer) -> StoreError | AuthError:
        error = self._client.refusal(self._call(digest), answer)
        if answer.status == 405 or (isinstance(error, RefusedError) and "UNSUPPORTED" in error.codes):
            raise CannotDeleteError(error.message, _OFF)
        return error

    def _call(self, digest: str) -> Call:
        if not is_digest(digest):
            raise StoreError(f"{self._client.repository}: not a digest: {digest!r}")
        name = self._client.repository.name
        grants = push(name) | {(name, "delete")}
        return Call(
            "DELETE", self._client.url(f"manifests/{digest}"), f"delete {digest}", grants, ok=frozenset({200, 202, 404, 405}) | _PER_IMAGE
        )
