"""What a commit has no more since the history was slimmed, and what of that a run or a person wants back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from builder.cache import Cache
from builder.data.archive import ArchiveRecords, lost
from builder.data.bring import object_key
from builder.data.interface import Objects
from builder.data.threads import in_threads
from builder.image import lfs
from builder.image.exclude import Excludes
from builder.model.removed import Lost, Removed
from builder.model.tree import Commit
from builder.settings import ImageSettings
from builder.source.repository import Git
from builder.source.slimmings import GitRecords

_POINTER_LIMIT = 1024  # bytes


def lost_of(commit: Commit, git: Git, archive: Objects, cache: Cache | None = None) -> Lost:
    """What was taken out of the commit, LFS objects included that its tree still points to. Raises DataError, IntegrityError."""
    found = lost(commit.sha, [ArchiveRecords(archive, cache), GitRecords(git)])
    if not found.objects:
        return found
    files = {file.path: file for file in _pointed(git, commit, found.objects)}
    files |= {file.path: file for file in _contents(archive, found)}
    return replace(found, files=tuple(files[path] for path in sorted(files)))


def chosen(found: Lost, patterns: Sequence[str]) -> Lost:
    """Only those files that the patterns, as in .gitignore, match; all when there are none."""
    if not patterns:
        return found
    wanted = Excludes(patterns)
    return replace(found, files=tuple(file for file in found.files if wanted.file(_bytes(file))))


def _bytes(file: Removed) -> bytes:
    return file.path.encode("utf-8", "surrogateescape")


def needed(found: Lost, image: ImageSettings, patterns: Sequence[str]) -> Lost:
    """What a run at the commit gets back: what its image would have had, as far as the patterns want it.

    Content of LFS pointers that the commit still has is in its image, or not wanted there, as [image] lfs says.
    """
    left_out = Excludes(image.exclude)
    files = [file for file in chosen(found, patterns).files if file.pointer or not file.lfs]
    return replace(found, files=tuple(file for file in files if not left_out.file(_bytes(file))))


def not_in(found: Lost, commit: Commit, git: Git) -> Lost:
    """What of it a commit that came of this one does not have by itself. What stands for a lost file there stays as it was."""
    before = {entry.path: entry.oid for entry in git.entries(git.commit(found.commit))}
    after = {entry.path: entry.oid for entry in git.entries(commit)}
    return replace(found, files=tuple(file for file in found.files if after.get(_bytes(file)) == before.get(_bytes(file))))


def bring_content(found: Lost, git: Git, archive: Objects) -> int:
    """Puts what the commit's pointers name into this clone's LFS store, where no server has it any more; how many these were."""
    wanted = [file for file in found.files if file.lfs and not file.pointer and not lfs.content_path(git, file.sha256).exists()]

    def bring(file: Removed) -> bool:
        path = lfs.content_path(git, file.sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        return archive.fetch_file(object_key(file.sha256), path, file.sha256)

    return sum(in_threads(bring, wanted))


def _pointed(git: Git, commit: Commit, objects: Mapping[str, int]) -> Iterator[Removed]:
    entries = git.entries(commit)
    attributes = lfs.attribute_files(entries)
    git.fetch_missing(commit, attributes)
    tracked = {entry.path: entry for entry in lfs.tracked_files(git, attributes, entries)}
    git.fetch_missing(commit, tracked.values())
    for path, pointer in lfs.pointers(git, list(tracked.values())).items():
        if pointer.oid in objects:
            yield Removed(path.decode("utf-8", "surrogateescape"), pointer.oid, objects[pointer.oid], tracked[path].mode, lfs=True)


def _contents(archive: Objects, found: Lost) -> list[Removed]:
    """The removed files; of pointers what they point to, where that was kept."""

    def content(file: Removed) -> Removed:
        data = archive.get(object_key(file.sha256)) or b"" if file.size < _POINTER_LIMIT else b""
        pointer = lfs.parse(data) if hashlib.sha256(data).hexdigest() == file.sha256 else None
        if pointer is None or pointer.oid not in found.objects:
            return file
        return replace(file, sha256=pointer.oid, size=found.objects[pointer.oid], lfs=True, pointer=file.sha256)

    return in_threads(content, found.files)
