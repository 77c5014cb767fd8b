"""Stage four: what goes is kept first, by its sha256. Nothing is rewritten before all of it is there.

A blob is read from git, checked against its own name (sha1), and hashed (sha256) in one pass. LFS objects keep their name, which is
their sha256. What is there already, whole, is not written again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeVar

from repo_slim import lfs
from repo_slim.errors import ArchiveError, DamagedError
from repo_slim.files import json_lines, remove
from repo_slim.git import Git, Objects
from repo_slim.progress import SILENT, Advance, Progress
from repo_slim.selection import Selection
from repo_slim.stores import Store, hash_of

_WORKERS = 4
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """An object of the archive. `kind` is `blob` or `lfs`; `blob` is the git name of a blob, empty for an LFS object.

    `gone`: nothing in the new history has it any more.
    """

    kind: str
    blob: str
    sha256: str
    size: int
    gone: bool


def key_of(sha256: str) -> str:
    """Where an object lies below the archive's root."""
    return f"archive/blobs/{sha256[:2]}/{sha256}"


def to_lines(entries: Iterable[Entry]) -> bytes:
    """One JSON object a line, sorted."""
    return json_lines(asdict(entry) for entry in sorted(entries, key=lambda entry: (entry.kind, entry.blob, entry.sha256)))


def from_lines(data: bytes) -> tuple[Entry, ...]:
    return tuple(Entry(**json.loads(line)) for line in data.splitlines())


def archive(
    git: Git, selection: Selection, sizes: Mapping[str, int], store: Store, spool: Path, progress: Progress = SILENT
) -> tuple[Entry, ...]:
    """Puts all that is selected into the store. `spool` is a directory for what is on its way, best on the store's file system.

    LFS objects that neither the mirror nor the store has are left out. Raises DamagedError when a blob is not what its name says.
    """
    remove(spool)
    spool.mkdir(parents=True)
    ours = git.directory / "lfs" / "objects"
    objects = {oid: pointer for oid, pointer in selection.lfs.items() if lfs.place(ours, oid).is_file() or _there(store, oid, pointer.size)}
    total = sum(sizes[blob] for blob in selection.removed) + sum(pointer.size for pointer in objects.values())
    with progress.task("archiving", total, "bytes") as advance:

        def take_blobs(wanted: Iterator[str]) -> Iterator[Entry]:
            with Objects(git) as reader:
                for blob in wanted:
                    yield _keep_blob(reader, blob, blob in selection.gone, store, spool, advance)

        def take_objects(wanted: Iterator[str]) -> Iterator[Entry]:
            for oid in wanted:
                yield _keep_object(git, oid, objects[oid].size, store, advance)

        kept = [*_shared(take_blobs, list(selection.removed)), *_shared(take_objects, sorted(objects))]
    remove(spool)
    return tuple(kept)


def _keep_blob(reader: Objects, blob: str, gone: bool, store: Store, spool: Path, advance: Advance) -> Entry:
    _, size = reader.begin(blob)
    path = spool / blob
    git_name, seen = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False), hashlib.sha256()
    try:
        with path.open("wb", buffering=0) as file:
            for chunk in reader.rest(blob, size):
                git_name.update(chunk)
                seen.update(chunk)
                file.write(chunk)
                advance(len(chunk))
    except OSError as error:
        raise ArchiveError(f"{path} cannot be written: {error.strerror}", "free some space, then run it again; it goes on") from error
    if git_name.hexdigest() != blob:
        raise DamagedError(
            f"{blob} in the mirror does not hash to its name", "`git fsck --full` in the source says whether it is broken there"
        )
    sha256 = seen.hexdigest()
    if not _there(store, sha256, size):
        store.put(key_of(sha256), path, sha256, give=True)
    path.unlink(missing_ok=True)
    return Entry("blob", blob, sha256, size, gone)


def _keep_object(git: Git, oid: str, size: int, store: Store, advance: Advance) -> Entry:
    if not _there(store, oid, size):
        path = lfs.place(git.directory / "lfs" / "objects", oid)
        try:
            store.put(key_of(oid), path, oid)
        except DamagedError as error:
            raise DamagedError(f"LFS object {oid} is damaged in the source", "`git lfs fsck` there says more; fetch it again") from error
    advance(size)
    return Entry("lfs", "", oid, size, True)


def _there(store: Store, sha256: str, size: int) -> bool:
    """Of a run that was broken off, or of another repository."""
    key = key_of(sha256)
    return store.size(key) == size and hash_of(store, key) == sha256


def read_back(store: Store, entries: Sequence[Entry], progress: Progress = SILENT) -> None:
    """Reads all of it and hashes it. Raises DamagedError, which names the first object that is not what its name says."""
    sizes = {entry.sha256: entry.size for entry in entries}
    with progress.task("reading the archive back", sum(sizes.values()), "bytes") as advance:

        def check(wanted: Iterator[str]) -> Iterator[None]:
            for sha256 in wanted:
                if hash_of(store, key_of(sha256)) != sha256:
                    text = f"{store.name}/{key_of(sha256)} does not hash to its name: it is damaged"
                    raise DamagedError(text, "run it again: it is archived anew from the source, which is untouched")
                yield advance(sizes[sha256])

        _shared(check, sorted(sizes))


def _shared(work: Callable[[Iterator[str]], Iterator[T]], items: Sequence[str]) -> list[T]:
    """Some threads share the items; the first error ends all of them."""
    queue: SimpleQueue[str] = SimpleQueue()
    for item in items:
        queue.put(item)

    def taken() -> Iterator[str]:
        with suppress(Empty):
            while True:
                yield queue.get_nowait()

    with ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(min(_WORKERS, max(1, len(items)))))
        futures = [threads.submit(lambda: list(work(taken()))) for _ in range(_WORKERS if len(items) > 1 else 1)]
        try:
            return [each for future in futures for each in future.result()]
        except BaseException:
            for _ in taken():
                pass
            raise
