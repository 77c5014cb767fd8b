"""One repository in a registry, as a store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from builder.errors import BlobUnknownError
from builder.model.oci import Descriptor, StoredManifest
from builder.model.reference import Repository
from builder.stores.interface import Held, OpenBlob
from builder.stores.registry import blobs, ecr, ecr_images, harbor, manifests, tagged
from builder.stores.registry.client import Client
from builder.stores.registry.credentials import Credentials, find_credential
from builder.stores.registry.patience import Notice, Patience, silent
from builder.stores.registry.referrers import Referrers
from builder.stores.registry.removal import Remover
from builder.stores.registry.retry import Retry
from builder.stores.registry.uploads import Uploader


class RegistryStore:
    """A repository reached over the distribution API (OCI distribution-spec v1.1).

    `pull_name` is what stands in references when nodes reach the registry by another name than this machine does.
    `insecure` allows plain http to a host that is not this machine. Requests wait `timeout` seconds for a byte.
    `create` makes the repository when the registry does not know it; on ECR, AWS is asked. `aws` is what AWS calls it, where its host
    does not say so.
    `notice` is told when the registry lets us wait, or has to be asked again.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        pull_name: str = "",
        insecure: bool = False,
        credentials: Credentials = find_credential,
        retry: Retry | None = None,
        timeout: float = 60.0,
        create: Callable[[], None] | None = None,
        aws: Repository | None = None,
        notice: Notice = silent,
    ) -> None:
        self._name = pull_name or str(repository)
        self._notice = notice
        self._aws = aws or (repository if ecr.region(repository.host) else None)
        patience = Patience(repository.host, notice)
        self._client = Client(
            repository, insecure=insecure, credentials=credentials, retry=retry or Retry(), timeout=timeout, patience=patience
        )
        self._uploads = Uploader(self._client, create or (partial(ecr.create_repository, self._aws) if self._aws else None))
        self._referrers = Referrers(self._client, self.list_tags)
        self._known: set[str] = set()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._name

    def reference(self, digest: str) -> str:
        return f"{self._name}@{digest}"

    @property
    def sparse(self) -> bool:
        return False

    @property
    def hosts(self) -> tuple[str, ...]:
        return (self._client.repository.host, self._name.partition("/")[0])

    @property
    def requests(self) -> int:
        return self._client.requests

    def get_manifest(self, ref: str) -> StoredManifest | None:
        return manifests.get(self._client, ref)

    def put_manifest(self, data: bytes, media_type: str, tags: tuple[str, ...] = ()) -> str:
        """As the port says. Of several tags all free ones are set before a TagConflictError is raised."""
        try:
            return manifests.put(self._client, data, media_type, tags)
        except BlobUnknownError:
            self._forget()
            raise

    def has_blob(self, digest: str) -> bool:
        return digest in self._known or self._learn(digest, blobs.has_blob(self._client, digest))

    def open_blob(self, digest: str) -> Iterator[bytes]:
        return blobs.download(self._client, digest)

    def put_blob(self, blob: Descriptor, source: OpenBlob, mount_from: str = "") -> bool:
        """`mount_from` is a repository's name without its host. A blob that this store has put or seen before costs nothing.

        Others cost two requests, POST and PUT; one when it can be mounted; from 1 MiB on one more, a look whether it is there.
        """
        if blob.digest in self._known:
            return False
        sent = self._uploads.put(blob, source, mount_from)
        self._learn(blob.digest, there=True)
        return sent

    def list_tags(self) -> tuple[str, ...]:
        return manifests.list_tags(self._client)

    def held(self) -> Iterator[Held]:
        """Harbor and ECR tell of times and of what has no tag; a plain registry of neither."""
        if self._aws:
            return ecr_images.held(self._aws)
        if harbor.is_harbor(self._client):
            if harbor.may_list(self._client):
                return harbor.held(self._client)
            self._notice(f"{self._name}: Harbor shows no artifacts to these credentials: ages are unknown, and images without a tag stay")
        tags = self.list_tags()
        self._referrers.learn(tags)
        return tagged.held(self._client, tags)

    def referrers(self, digest: str) -> tuple[str, ...]:
        return self._referrers.of(digest)

    def remove(self, digests: Iterable[str]) -> Iterator[tuple[str, str]]:
        return ecr_images.remove(self._aws, digests) if self._aws else Remover(self._client).remove(digests)

    def sweep(self, dry: bool) -> int:  # noqa: ARG002 - a registry collects its blobs by itself, or its operator runs what does
        return 0

    def close(self) -> None:
        """Ends the open connections."""
        self._client.close()

    def _learn(self, digest: str, there: bool) -> bool:
        if there:
            with self._lock:
                self._known.add(digest)
        return there

    def _forget(self) -> None:
        with self._lock:
            self._known.clear()
