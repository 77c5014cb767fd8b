"""Mirroring a base: once, blob by blob, resumable, and by mounts within one registry."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from builder.cache import Cache
from builder.errors import IntegrityError, StoreError
from builder.image.base import Base, require_base, resolve, scratch
from builder.image.base_mirror import Copied, copy_blobs, mirror, plan_mirror
from builder.model.oci import LAYER_TAR, Descriptor
from builder.model.progress import Advance, Unit
from builder.stores.interface import OpenBlob
from builder.stores.layout import LayoutStore
from builder.stores.registry import RegistryStore
from tests.fixtures.images import put, put_base, tar
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.registry_server import RegistryServer

LAYERS = tuple(tar({f"usr/lib/{number}": bytes([number]) * 50_000}) for number in range(9))


class Counting:
    """A progress that adds up."""

    def __init__(self) -> None:
        self.total: int | None = 0
        self.done = 0
        self._lock = threading.Lock()

    @contextmanager
    def task(self, title: str, total: int | None = None, unit: Unit = "items") -> Iterator[Advance]:
        self.total = total

        def advance(amount: int) -> None:
            with self._lock:
                self.done += amount

        yield advance


@pytest.fixture
def source(tmp_path: Path) -> LayoutStore:
    store = LayoutStore(tmp_path / "source")
    put_base(store, *LAYERS, tag="24.05")
    return store


@pytest.fixture
def base(source: LayoutStore, tmp_path: Path) -> Base:
    return resolve(f"{source.name}:24.05", source, Cache(tmp_path / "cache"))


def test_everything_arrives_under_its_digest(source: LayoutStore, base: Base) -> None:
    target, progress = MemoryStore(), Counting()
    plan = plan_mirror(base, target)
    assert (len(plan.missing), plan.done, target.blobs) == (10, False, {})
    copied = mirror(plan, source, target, progress)
    assert copied == Copied(10, plan.size, 0)
    assert progress.total == progress.done == plan.size
    for ref in (base.digest, base.tag):
        found = target.get_manifest(ref)
        assert found is not None
        assert found.digest == base.digest
    require_base(base, target)


def test_the_second_time_nothing_is_done(source: LayoutStore, base: Base) -> None:
    target = MemoryStore()
    mirror(plan_mirror(base, target), source, target)
    again = plan_mirror(base, target)
    assert again.done
    assert mirror(again, source, target) == Copied()


def test_it_goes_on_with_what_is_missing(source: LayoutStore, base: Base) -> None:
    target, stops = MemoryStore(), Stopping(after=3)
    with pytest.raises(StoreError, match="pulled the plug"):
        mirror(plan_mirror(base, stops), source, stops)
    assert stops.get_manifest(base.tag) is None
    target.blobs.update(stops.blobs)
    held = len(target.blobs)
    assert 0 < held < 10
    assert mirror(plan_mirror(base, target), source, target).sent == 10 - held
    assert target.get_manifest(base.tag) is not None


class Stopping(MemoryStore):
    """Fails after some blobs."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def put_blob(self, blob: Descriptor, source: OpenBlob, mount_from: str = "") -> bool:
        self.left -= 1
        if self.left < 0:
            raise StoreError("somebody pulled the plug")
        return super().put_blob(blob, source, mount_from)


def test_blobs_without_the_manifest_are_not_the_base(source: LayoutStore, base: Base) -> None:
    target = MemoryStore()
    copy_blobs(plan_mirror(base, target).missing, source, target)
    plan = plan_mirror(base, target)
    assert (plan.missing, plan.done) == ((), False)
    mirror(plan, source, target)
    assert target.get_manifest(base.tag) is not None


def test_a_damaged_source_ends_it_before_the_manifest(source: LayoutStore, base: Base) -> None:
    target = MemoryStore()
    path = source.directory / "blobs" / "sha256" / base.layers[4].digest[7:]
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(IntegrityError, match=base.layers[4].digest[7:]):
        mirror(plan_mirror(base, target), source, target)
    assert target.get_manifest(base.tag) is None
    assert not target.has_blob(base.layers[4].digest)


def test_scratch_needs_no_copy() -> None:
    assert plan_mirror(scratch(), MemoryStore()).done


def test_a_retried_upload_is_counted_once(source: LayoutStore, base: Base) -> None:
    class Retrying(MemoryStore):
        def put_blob(self, blob: Descriptor, source: OpenBlob, mount_from: str = "") -> bool:
            with source() as stream:
                stream.read(10)
            return super().put_blob(blob, source, mount_from)

    progress, target = Counting(), Retrying()
    mirror(plan_mirror(base, target), source, target, progress)
    assert progress.done == progress.total


def test_a_big_blob_is_never_in_memory(tmp_path: Path) -> None:
    import tracemalloc

    one, two = LayoutStore(tmp_path / "one"), LayoutStore(tmp_path / "two")
    blob = put(one, bytes(64 << 20), LAYER_TAR)
    tracemalloc.start()
    copy_blobs((blob,), one, two)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert two.has_blob(blob.digest)
    assert peak < 16 << 20


def test_between_registries_and_within_one(source: LayoutStore, base: Base) -> None:
    with RegistryServer() as near, RegistryServer() as far:
        foreign, ours, other = (
            RegistryStore(server.repository(name)) for server, name in ((far, "nvidia/pytorch"), (near, "team/app"), (near, "team/other"))
        )
        with closing(foreign), closing(ours), closing(other):
            mirror(plan_mirror(base, foreign), source, foreign)
            assert mirror(plan_mirror(base, ours), foreign, ours).sent == 10
            assert mirror(plan_mirror(base, other), ours, other) == Copied(0, 0, 10)
            require_base(base, other)


def test_a_lone_blob_put_by_somebody_else_meanwhile(source: LayoutStore, base: Base) -> None:
    target = MemoryStore()
    plan = plan_mirror(base, target)
    data = b"".join(source.open_blob(base.layers[0].digest))
    put(target, data)
    assert mirror(plan, source, target) == Copied(9, plan.size - len(data), 1)
