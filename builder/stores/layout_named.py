"""What the manifests of an OCI layout name, and which manifests lie in it though nothing names them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from builder.errors import IntegrityError
from builder.model.annotations import INPUTS, KIND
from builder.model.index import manifest_type
from builder.model.oci import is_digest, sha256
from builder.stores.layout_files import MANIFEST_LIMIT, LayoutFiles, size_of
from builder.stores.layout_index import Index


class Named:
    """The blobs that manifests name, by the names of their files. Only ever grows: a manifest that goes meanwhile is seen next time."""

    def __init__(self, files: LayoutFiles) -> None:
        self._files = files
        self._read: set[str] = set()
        self.blobs: set[str] = set()

    def learn(self, digests: Iterable[str]) -> None:
        """Raises IntegrityError when a manifest cannot be read."""
        pending = [digest for digest in digests if digest not in self._read]
        while pending:
            digest = pending.pop()
            if digest in self._read:
                continue
            self._read.add(digest)
            raw = read_json(self._files, digest)
            self.blobs.update(one.removeprefix("sha256:") for one in (digest, *digests_in(raw)))
            if isinstance(raw, dict):  # what it names may name blobs, too, also where no index.json lists it
                pending += digests_in([raw.get("manifests"), raw.get("subject")])

    def orphans(self, blobs: Iterable[Path]) -> list[str]:
        """Those of the files that are manifests of ours and have no name: index.json was lost, or lost entries. Sorted.

        Raises IntegrityError on a damaged one: nobody knows what it names.
        """
        return sorted(f"sha256:{path.name}" for path in blobs if path.name not in self.blobs and self._is_ours(path))

    def _is_ours(self, path: Path) -> bool:
        if (size_of(path) or 0) > MANIFEST_LIMIT or not _begins_as_json(path):
            return False
        raw = read_json(self._files, f"sha256:{path.name}")
        if not isinstance(raw, dict) or not manifest_type(json.dumps(raw).encode()):
            return False
        return INPUTS in _annotations(raw) or isinstance(raw.get("subject"), dict) or any(map(_kind_of, _list(raw.get("layers"))))


def index_of(files: LayoutFiles, blobs: Iterable[Path]) -> Index:
    """index.json. Raises IntegrityError where blobs lie there without one: it would look as if nothing were needed."""
    path = files.directory / "index.json"
    if not path.exists() and next(iter(blobs), None):
        text = f"{path} is missing, and there are blobs: nobody knows which of them are needed, and nothing is deleted"
        hint = "put back a copy of it, or run `builder image --missing`, which writes a new one: images that are there are found again"
        raise IntegrityError(text, hint)
    return files.index()


def read_json(files: LayoutFiles, digest: str) -> Any:
    """The JSON of what stands where a manifest should; None when there is no such file, as in a layout without some platforms."""
    path = files.path(digest)
    size = size_of(path)
    if size is None:
        return None
    if size > MANIFEST_LIMIT:
        raise IntegrityError(f"{path} should be a manifest, and has {size} bytes", "nothing is cleaned up: take it out of index.json")
    data = path.read_bytes()
    if sha256(data) != digest:
        raise files.corrupt_manifest(digest)
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None  # of another tool: it names nothing that we could know of


def digests_in(raw: Any) -> list[str]:
    """Every `digest` in a JSON document, however deep: manifests of kinds that we do not know name blobs, too."""
    found, pending = [], [raw]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            digest = item.get("digest")
            if isinstance(digest, str) and is_digest(digest):
                found.append(digest)
            pending += item.values()
        elif isinstance(item, list):
            pending += item
    return found


def _begins_as_json(path: Path) -> bool:
    """Layers need not be read to know that they are none."""
    try:
        with path.open("rb") as file:
            return file.read(1) == b"{"
    except FileNotFoundError:
        return False


def _annotations(raw: dict[str, Any]) -> dict[str, Any]:
    found = raw.get("annotations")
    return found if isinstance(found, dict) else {}


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _kind_of(layer: Any) -> bool:
    return isinstance(layer, dict) and KIND in _annotations(layer)
