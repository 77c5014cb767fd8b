"""What clean-up does to an OCI layout: lists its manifests, removes some, and then the blobs that no manifest names.

A writer puts blobs first and the manifest that names them last, under the layout's lock. So that nobody's blobs are swept in between,
what was written or used in the last two hours stays, and a writer that took longer is told under the lock that a blob is missing.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import islice
from pathlib import Path

from builder.errors import StoreError
from builder.model.index import is_index
from builder.stores.batches import remove_in_batches
from builder.stores.interface import GONE, REMOVED, Held
from builder.stores.layout_files import LayoutFiles, size_of, time_of
from builder.stores.layout_index import Index
from builder.stores.layout_named import Named, digests_in, index_of, read_json

SAFE_AGE = 2 * 3600
"""Seconds for which a blob may be without a manifest: the longest that a writer is trusted to take."""
_BATCH = 500
"""So many removals under one lock: writers wait that long."""
_NAME = re.compile(r"[0-9a-f]{64}\Z")


class Removal:
    """Of one layout."""

    def __init__(self, files: LayoutFiles) -> None:
        self._files = files
        self._subjects: dict[str, str] = {}

    def held(self) -> Iterator[Held]:
        """What index.json names, and manifests of ours that have lost their names. `pushed` is None where the manifest's file is missing.

        Raises IntegrityError where index.json is missing.
        """
        index = index_of(self._files, self._blobs())
        tags: dict[str, list[str]] = {}
        for tag, digest in index.tags.items():
            tags.setdefault(digest, []).append(tag)
        for digest in index.digests:
            yield Held(digest, tuple(sorted(tags.get(digest, ()))), time_of(self._files.path(digest)))
        named = Named(self._files)
        named.learn(index.digests)
        for digest in named.orphans(self._blobs()):
            yield Held(digest, (), time_of(self._files.path(digest)))

    def referrers(self, digest: str) -> tuple[str, ...]:
        """The first question reads every manifest, the next ones only what is new."""
        return tuple(sorted(one for one in self._files.index().digests if self._subject(one) == digest))

    def remove(self, digests: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Refuses what an index that stays here names."""
        return remove_in_batches(digests, _BATCH, self._remove_some)

    def sweep(self, dry: bool) -> int:
        """The bytes of what went, or would go. Nothing goes when a manifest cannot be read: IntegrityError."""
        before = time.time() - SAFE_AGE
        named = Named(self._files)
        named.learn(index_of(self._files, self._blobs()).digests)
        named.learn(named.orphans(self._blobs()))
        old = (path for path in self._blobs() if path.name not in named.blobs and _older(path, before))
        if dry:
            return sum(size_of(path) or 0 for path in old)
        freed = 0
        while batch := list(islice(old, _BATCH)):
            with self._files.locked():
                named.learn(self._files.index().digests)
                freed += sum(_remove_blob(path) for path in batch if path.name not in named.blobs and _older(path, before))
        return freed

    def _remove_some(self, digests: list[str]) -> dict[str, str]:
        """Under the lock: who writes the same manifest comes before, or after, and then finds it gone."""
        if not self._files.directory.is_dir():
            return dict.fromkeys(digests, GONE)
        self._require_removable()
        index_of(self._files, self._blobs())
        self._files.prepare()  # another tool may have made it
        with self._files.locked():
            index = self._files.index()
            naming = self._indexes_that_name(set(digests), index)
            changed = index.without(set(digests) - naming.keys())
            if changed is not index:
                self._files.replace_index(changed)
            return {
                digest: f"refused: the index {naming[digest]} names it" if digest in naming else self._remove_file(digest, index)
                for digest in digests
            }

    def _remove_file(self, digest: str, index: Index) -> str:
        path = self._files.path(digest)
        there = digest in index.digests or path.exists()  # after a kill in between there is only the file
        try:
            path.unlink(missing_ok=True)
        except OSError as error:  # told of this one alone: the others have lost their names, too, and must be tried
            return f"refused: cannot remove {path}: {error.strerror}; index.json does not name it any more, and the next clean-up sees it"
        return REMOVED if there else GONE

    def _require_removable(self) -> None:
        """Before index.json is touched."""
        if self._files.blobs.is_dir() and not os.access(self._files.blobs, os.W_OK | os.X_OK):
            raise StoreError(f"nothing can be removed from {self._files.blobs}: permission denied", "run it again as somebody who may")

    def _indexes_that_name(self, going: AbstractSet[str], index: Index) -> dict[str, str]:
        """Manifest that is to go -> an index that stays."""
        found = {}
        for holder in (digest for digest, media_type in index.digests.items() if is_index(media_type) and digest not in going):
            for child in digests_in(read_json(self._files, holder)):
                if child in going:
                    found[child] = holder
        return found

    def _subject(self, digest: str) -> str:
        if digest not in self._subjects:
            raw = read_json(self._files, digest)
            if raw is None:
                return ""
            subject = raw.get("subject") if isinstance(raw, dict) else None
            self._subjects[digest] = str(subject.get("digest", "")) if isinstance(subject, dict) else ""
        return self._subjects[digest]

    def _blobs(self) -> Iterator[Path]:
        try:
            with os.scandir(self._files.blobs) as entries:
                yield from (Path(entry.path) for entry in entries if _NAME.match(entry.name))
        except (FileNotFoundError, NotADirectoryError):
            return


def _older(path: Path, before: float) -> bool:
    when = time_of(path)
    return when is not None and when < before


def _remove_blob(path: Path) -> int:
    size = size_of(path) or 0
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {error.strerror}", "run it again as somebody who may") from error
    return size
