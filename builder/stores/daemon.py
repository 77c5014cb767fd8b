"""A Docker daemon as a store: `docker:`. Images go in as `docker load` takes them, and only the layers that it lacks.

A daemon keeps images, not manifests and not compressed layers, so those wait in an OCI layout on this disk (the *spool*): see
docs/adr/0006-docker-store.md. The spool may be deleted at any time; what is missing then is made again.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from builder.errors import IntegrityError, StoreError, TagConflictError
from builder.model.annotations import BASE_DIGEST, BASE_NAME
from builder.model.oci import Descriptor, Manifest, StoredManifest, is_digest
from builder.stores.docker_archive import archive
from builder.stores.interface import OpenBlob
from builder.stores.layout import LayoutStore

REPOSITORY = "builder"
_SPOOLED_ONLY = ("deps-", "tool-")  # parts of images: nobody runs them


class DaemonStore:
    """The daemon of DOCKER_HOST, or the local one. Images are there as `builder:<tag>`; a reference is an image's id.

    The base's layers must be in the daemon (`docker pull`): they are never sent.
    """

    def __init__(self, spool: Path, repository: str = REPOSITORY, connect: Callable[[], Any] | None = None) -> None:
        """`connect` gives a `docker.APIClient`."""
        self._spool = LayoutStore(spool)
        self._repository = repository
        self._connect = connect or _connect
        self._connection: Any = None
        self._lock = threading.Lock()
        self._requests = 0
        self._ids: dict[str, str] = {}  # manifest digest -> image id
        self._chains: set[tuple[str, ...]] = set()  # DiffIDs of images seen in the daemon

    @property
    def name(self) -> str:
        return "docker:"

    @property
    def sparse(self) -> bool:
        return True

    @property
    def hosts(self) -> tuple[str, ...]:
        return ()

    @property
    def requests(self) -> int:
        return self._requests

    def reference(self, digest: str) -> str:
        """The image's id as the daemon says it: the config's digest, or the manifest's where the engine keeps images in containerd."""
        return self._ids.get(digest) or _config_digest(self._spool.get_manifest(digest)) or digest

    def get_manifest(self, ref: str) -> StoredManifest | None:
        if is_digest(ref) or ref.startswith(_SPOOLED_ONLY):
            return self._spool.get_manifest(ref)
        image = self._inspect(f"{self._repository}:{ref}")
        if image is None:
            return None
        found = self._spool.get_manifest(_spool_tag(ref, image)) or self._spool.get_manifest(image)
        if found is not None:
            self._ids[found.digest] = image
        return found

    def has_blob(self, digest: str) -> bool:
        return self._spool.has_blob(digest)

    def open_blob(self, digest: str) -> Iterator[bytes]:
        return self._spool.open_blob(digest)

    def put_blob(self, blob: Descriptor, source: OpenBlob, mount_from: str = "") -> bool:
        return self._spool.put_blob(blob, source, mount_from)

    def put_manifest(self, data: bytes, media_type: str, tags: tuple[str, ...] = ()) -> str:
        parts = tuple(tag for tag in tags if tag.startswith(_SPOOLED_ONLY))
        digest = self._spool.put_manifest(data, media_type, parts)
        names = tuple(tag for tag in tags if tag not in parts)
        if names:
            self._put_image(StoredManifest(data, media_type, digest), names)
        return digest

    def list_tags(self) -> tuple[str, ...]:
        with self._docker() as docker:
            images = docker.images(name=self._repository)
        named = [name.rpartition(":")[2] for image in images for name in image.get("RepoTags") or ()]
        return tuple(sorted({*named, *(tag for tag in self._spool.list_tags() if tag.startswith(_SPOOLED_ONLY))}))

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _put_image(self, stored: StoredManifest, tags: tuple[str, ...]) -> None:
        manifest = Manifest.from_bytes(stored.data)
        ours = (manifest.config.digest, stored.digest)
        named = {tag: self._inspect(f"{self._repository}:{tag}") for tag in tags}
        taken = {tag: image for tag, image in named.items() if image not in (None, *ours)}
        free = tuple(tag for tag, image in named.items() if image is None)
        if free:
            self._bring(manifest, stored, free)
        for tag in tags:
            if tag not in taken:
                self._remember(tag, stored, ours)
        if taken:
            facts = ", ".join(f"{self._repository}:{tag} is {image}" for tag, image in taken.items())
            raise TagConflictError(f"docker: a tag never moves to another image: {facts}, not {ours[0]}", "run the image that is there")

    def _bring(self, manifest: Manifest, stored: StoredManifest, tags: tuple[str, ...]) -> None:
        """Only names an image that is there. Else sends the layers above those of an image seen before; if that fails, all at hand."""
        image = self._inspect(manifest.config.digest)
        if image is not None:
            with self._docker() as docker:
                for tag in tags:
                    docker.tag(image, self._repository, tag)
            return
        names = [f"{self._repository}:{tag}" for tag in tags]
        held = frozenset(layer.digest for layer in manifest.layers) - {blob.digest for blob in self._spool.missing_blobs(manifest)}
        above = held & {layer.digest for layer in manifest.layers[self._known_layers(manifest) :]}
        error = self._load(stored, manifest, above, names)
        if error and above != held:
            error = self._load(stored, manifest, held, names)
        if error:
            raise _not_loaded(error, manifest, held)

    def _load(self, stored: StoredManifest, manifest: Manifest, layers: frozenset[str], names: list[str]) -> str:
        """What the daemon has against it; empty when it took the image."""
        with self._docker() as docker:
            answer = list(docker.load_image(archive(stored, manifest, layers, names, self._spool.open_blob)))
        return next((str(line["error"]) for line in answer if "error" in line), "")

    def _known_layers(self, manifest: Manifest) -> int:
        """How many of the lowest layers the daemon has for certain."""
        config = json.loads(b"".join(self._spool.open_blob(manifest.config.digest)))
        ours = tuple(config.get("rootfs", {}).get("diff_ids", ()))
        return max((_common(ours, chain) for chain in tuple(self._chains)), default=0)

    def _remember(self, tag: str, stored: StoredManifest, ours: tuple[str, str]) -> None:
        image = self._inspect(f"{self._repository}:{tag}")
        if image not in ours:
            raise IntegrityError(f"docker: {self._repository}:{tag} is {image} after the load of {ours[0]}", "run the command again")
        self._ids[stored.digest] = str(image)
        with contextlib.suppress(TagConflictError):  # another manifest of the same image: as good
            self._spool.put_manifest(stored.data, stored.media_type, (_spool_tag(tag, str(image)),))

    def _inspect(self, name: str) -> str | None:
        """The id of an image, None when there is no such image."""
        from docker.errors import NotFound

        with self._docker() as docker:
            try:
                found: dict[str, Any] = docker.inspect_image(name)
            except NotFound:
                return None
        self._chains.add(tuple(found.get("RootFS", {}).get("Layers") or ()))
        return str(found["Id"])

    @contextlib.contextmanager
    def _docker(self) -> Iterator[Any]:
        """The client for one request. Counts it, and translates what goes wrong with it."""
        from docker.errors import APIError, DockerException

        try:
            with self._lock:
                self._requests += 1
                self._connection = self._connection or self._connect()
            yield self._connection
        except APIError as error:
            raise StoreError(f"the Docker daemon refuses: {error.explanation or error}") from error
        except (DockerException, OSError) as error:
            hint = "start Docker, or set DOCKER_HOST; `builder doctor` shows what is there"
            raise StoreError(f"cannot talk to the Docker daemon: {error}", hint) from error


def _connect() -> Any:
    """The daemon of DOCKER_HOST, or the local one."""
    from docker import from_env

    return from_env(version="auto").api


def _spool_tag(tag: str, image: str) -> str:
    """A tag may go from the daemon and come back for another image; in the spool it never moves, so the id is in its name."""
    return f"{tag}.{image[7:23]}"


def _config_digest(stored: StoredManifest | None) -> str:
    return Manifest.from_bytes(stored.data).config.digest if stored else ""


def _common(ours: tuple[str, ...], theirs: tuple[str, ...]) -> int:
    return next((place for place, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other), min(len(ours), len(theirs)))


def _not_loaded(error: str, manifest: Manifest, held: frozenset[str]) -> StoreError:
    absent = [layer for layer in manifest.layers if layer.digest not in held]
    if not any(layer.digest.removeprefix("sha256:") in error for layer in absent):
        return StoreError(f"the Docker daemon did not take the image: {error}")
    name, digest = (manifest.annotations.get(key, "") for key in (BASE_NAME, BASE_DIGEST))
    base = f"{name.partition('@')[0]}@{digest}" if name else "the base"
    size = sum(layer.size for layer in absent) / 1e6
    return StoreError(f"the Docker daemon lacks {base}: {len(absent)} layers, {size:.0f} MB", f"run `docker pull {base}` first")
