"""`builder base mirror`: copies a base once, blob by blob, into the repository that holds the commits' images."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import BinaryIO

from builder.errors import StoreError
from builder.image.base import Base, missing_layers
from builder.model.oci import Descriptor
from builder.model.progress import SILENT, Advance, Progress
from builder.model.reference import Repository
from builder.stores.chunks import as_file
from builder.stores.interface import Store

_JOBS = 4


@dataclass(frozen=True, slots=True)
class MirrorPlan:
    """What a mirror would send. `done` when the target has the manifest, and so everything it names."""

    base: Base
    missing: tuple[Descriptor, ...]
    done: bool

    @property
    def size(self) -> int:
        return sum(blob.size for blob in self.missing)


@dataclass(frozen=True, slots=True)
class Copied:
    """How many blobs and bytes were sent; `mounted` were in another repository of the same registry, or came meanwhile."""

    sent: int = 0
    size: int = 0
    mounted: int = 0


def plan_mirror(base: Base, target: Store) -> MirrorPlan:
    """Asks the target what it has. Sends nothing."""
    found = target.get_manifest(base.tag) if base.digest else None
    blobs = (*base.layers, base.config_blob) if base.config_blob else base.layers
    missing = missing_layers(blobs, target) if base.digest else ()
    return MirrorPlan(base, missing, not missing and (not base.digest or (found is not None and found.digest == base.digest)))


def mirror(plan: MirrorPlan, source: Store, target: Store, progress: Progress = SILENT) -> Copied:
    """Copies what is missing, then the manifest byte for byte under its tag `base-<12 hex>`.

    Stopped anywhere and run again, it goes on with the blobs that are not there yet. Memory does not grow with sizes.
    """
    if plan.done or plan.base.manifest is None:
        return Copied()
    copied = copy_blobs(plan.missing, source, target, progress)
    target.put_manifest(plan.base.manifest.data, plan.base.manifest.media_type, (plan.base.tag,))
    return copied


def copy_blobs(blobs: tuple[Descriptor, ...], source: Store, target: Store, progress: Progress = SILENT) -> Copied:
    """Streams blobs from one store to another, four at a time; mounts them within one registry."""
    stop = threading.Event()
    origin = _mountable(source, target)
    with progress.task(f"copying to {target.name}", sum(blob.size for blob in blobs), "bytes") as advance:

        def copy(blob: Descriptor) -> bool:
            counter = _Counter(blob.size, advance)
            sent = target.put_blob(blob, _opener(source, blob, counter, stop), origin)
            counter.up_to(blob.size)
            return sent

        sent = _all_or_stop(copy, blobs, stop)
    return Copied(sum(sent), sum(blob.size for blob, one in zip(blobs, sent, strict=True) if one), len(sent) - sum(sent))


class _Counter:
    """Tells each byte of a blob once, however often an upload is tried again."""

    def __init__(self, size: int, advance: Advance) -> None:
        self._told, self._size, self._advance = 0, size, advance

    def up_to(self, position: int) -> None:
        if position > self._told:
            self._advance(min(position, self._size) - self._told)
            self._told = position


def _opener(source: Store, blob: Descriptor, counter: _Counter, stop: threading.Event) -> Callable[[], BinaryIO]:
    def chunks() -> Iterator[bytes]:
        position = 0
        for chunk in source.open_blob(blob.digest):
            if stop.is_set():
                raise StoreError(f"stopped while copying {blob.digest}")
            position += len(chunk)
            counter.up_to(position)
            yield chunk

    return lambda: as_file(chunks())


def _all_or_stop(copy: Callable[[Descriptor], bool], blobs: tuple[Descriptor, ...], stop: threading.Event) -> list[bool]:
    """The first error ends it all soon: transfers that are under way stop at their next chunk, none is begun."""
    with ThreadPoolExecutor(_JOBS) as pool:
        jobs = [pool.submit(copy, blob) for blob in blobs]
        try:
            for job in as_completed(jobs):
                job.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [job.result() for job in jobs]


def _mountable(source: Store, target: Store) -> str:
    """The source's repository name when both are in one registry, else empty."""
    if source.name.startswith(("oci:", "docker:")) or target.name.startswith(("oci:", "docker:")):
        return ""
    ours, theirs = Repository.parse(source.name), Repository.parse(target.name)
    return ours.name if ours.host == theirs.host and ours.name != theirs.name else ""
