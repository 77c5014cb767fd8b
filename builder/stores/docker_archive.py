"""The tar that `docker load` reads: https://github.com/moby/docker-image-spec/blob/main/spec.md#combined-image-json--filesystem-changeset-format

It is an OCI layout too, as newer engines write and read it. Layers that the daemon has may be left out of it: the classic engine looks
for a layer by its chain of DiffIDs before it opens the file.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet

from builder.model.oci import INDEX, Manifest, StoredManifest, canonical_json

_OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


def archive(
    stored: StoredManifest, manifest: Manifest, layers: AbstractSet[str], names: list[str], open_blob: Callable[[str], Iterable[bytes]]
) -> Iterator[bytes]:
    """Manifest, config and those layers whose digests are in `layers`, to be loaded as `names` (`repository:tag`)."""
    entry = {"mediaType": stored.media_type, "digest": stored.digest, "size": len(stored.data)}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**entry, "annotations": _annotations(name)} for name in names]}
    docker = [
        {"Config": _path(manifest.config.digest), "RepoTags": names, "Layers": [_path(layer.digest) for layer in manifest.layers]},
    ]
    yield from _file("oci-layout", len(_OCI_LAYOUT), [_OCI_LAYOUT])
    for name, content in (
        ("index.json", canonical_json(index)),
        ("manifest.json", canonical_json(docker)),
        (_path(stored.digest), stored.data),
    ):
        yield from _file(name, len(content), [content])
    wanted = {blob.digest: blob.size for blob in manifest.layers if blob.digest in layers}
    for digest, size in {manifest.config.digest: manifest.config.size, **wanted}.items():
        yield from _file(_path(digest), size, open_blob(digest))
    yield bytes(2 * tarfile.BLOCKSIZE)


def _file(name: str, size: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    member = tarfile.TarInfo(name)
    member.size = size
    yield member.tobuf(tarfile.GNU_FORMAT)  # sizes over 8 GB
    yield from chunks
    yield bytes(-size % tarfile.BLOCKSIZE)


def _annotations(name: str) -> dict[str, str]:
    return {"io.containerd.image.name": f"docker.io/library/{name}", "org.opencontainers.image.ref.name": name.rpartition(":")[2]}


def _path(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"
