"""What `slim-repo` wrote down of the files that it took out of commits, and where their content lies. docs/reference/slim-archive.md"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from builder.cache import Cache
from builder.data.interface import Objects
from builder.errors import BuilderError, DataError, IntegrityError
from builder.model.oci import sha256
from builder.model.removed import Lost, Removed
from repo_slim.record import SCHEMA, Removals

COMMITS, OBJECTS, MANIFEST = "commits.jsonl", "objects.jsonl", "manifest.json"
_RUNS = "archive/runs/"
_AGAIN = "the archive is damaged: restore it from a copy, or slim the original again into the same archive"


class Records(Protocol):
    """Files of slimmings, wherever they are kept. Raises BuilderError."""

    def runs(self) -> Iterable[str]:
        """The slimmings."""

    def read(self, run: str, name: str) -> bytes:
        """COMMITS or OBJECTS of one."""


class ArchiveRecords:
    """In the archive: a slimming is there when its manifest is, which says what its files hash to."""

    def __init__(self, objects: Objects, cache: Cache | None = None) -> None:
        self._objects, self._cache = objects, cache
        self._manifests: dict[str, Mapping[str, Any]] = {}

    def runs(self) -> Iterator[str]:
        for found in self._objects.list(_RUNS):
            run, _, name = found.key.removeprefix(_RUNS).partition("/")
            if name == MANIFEST:
                yield run

    def read(self, run: str, name: str) -> bytes:
        key = f"{_RUNS}{run}/{name}"
        digest = f"sha256:{self._described(run, name)}"
        data = self._cache.get(digest) if self._cache else None
        if data is None:
            data = self._objects.get(key)
            if data is None:
                raise DataError(f"{self._objects.url(key)} is missing, and the manifest beside it has it", _AGAIN)
            if sha256(data) != digest:
                raise IntegrityError(f"{self._objects.url(key)} does not hash to what the manifest beside it says", _AGAIN)
            if self._cache:
                self._cache.put(digest, data)
        return data

    def _described(self, run: str, name: str) -> str:
        key = f"{_RUNS}{run}/{MANIFEST}"
        try:
            if run not in self._manifests:
                self._manifests[run] = json.loads(self._objects.get(key) or b"")
            manifest = self._manifests[run]
            if manifest["schema"] != SCHEMA:
                raise ValueError(f"schema {manifest['schema']!r}, and this version knows {SCHEMA}")
            return str(manifest["files"][name]["sha256"])
        except (ValueError, LookupError, TypeError) as error:
            raise IntegrityError(f"{self._objects.url(key)} is no manifest of an archive: {error}", _AGAIN) from error


def lost(commit: str, sources: Sequence[Records]) -> Lost:
    """What all slimmings took out of a commit, told by its name of now. A slimming that several sources know is read from the first.

    Two slimmings of one history may give a commit the same name, and need not have kept the same: what any of them kept counts.
    """
    runs = {run: source for source in reversed(sources) for run in source.runs()}
    files: dict[str, Removed] = {}
    objects: dict[str, int] = {}
    names, oldest = [commit], []
    for at in names:  # grows
        found = list(_slimmings(at, runs))
        for run, removals, old in found:
            entries, content = _entries(runs[run].read(run, OBJECTS), run)
            files.update(_files(removals, old, entries, run))  # what an earlier slimming took away is what was there at first
            objects |= content
        older = [old for _, _, old in found if old != at]
        names += [old for old in dict.fromkeys(older) if old not in names]
        oldest += [] if older else [at]
    return Lost(commit, oldest[0], tuple(files[path] for path in sorted(files)), objects)


def _slimmings(commit: str, runs: Mapping[str, Records]) -> Iterator[tuple[str, Removals, str]]:
    """Those that gave the commit its name: run, what it took out, and the commit's name before."""
    for run, source in sorted(runs.items()):
        data = source.read(run, COMMITS)
        if commit.encode() not in data:
            continue
        try:
            removals = Removals(data.splitlines())
        except (ValueError, LookupError, TypeError) as error:
            raise _unreadable(run, COMMITS, error) from error
        if old := removals.old_name(commit):
            yield run, removals, old


def _entries(data: bytes, run: str) -> tuple[dict[str, tuple[str, int]], dict[str, int]]:
    """Blob -> sha256 and size; LFS object -> size."""
    try:
        entries = [(each["kind"], each["blob"], str(each["sha256"]), int(each["size"])) for each in map(json.loads, data.splitlines())]
    except (ValueError, LookupError, TypeError) as error:
        raise _unreadable(run, OBJECTS, error) from error
    blobs = {blob: (digest, size) for kind, blob, digest, size in entries if kind == "blob"}
    return blobs, {digest: size for kind, _, digest, size in entries if kind == "lfs"}


def _files(removals: Removals, old: str, entries: Mapping[str, tuple[str, int]], run: str) -> dict[str, Removed]:
    try:
        return {path: Removed(path, *entries[blob], int(mode, 8)) for path, (mode, blob) in removals.of(old).items()}
    except (ValueError, LookupError, TypeError) as error:
        raise _unreadable(run, COMMITS, error) from error


def _unreadable(run: str, name: str, error: Exception) -> BuilderError:
    return IntegrityError(f"{name} of slimming {run[:12]} cannot be read: {type(error).__name__}: {error}", _AGAIN)
