"""Artifacts are found again with as little as can be, and the first one under a tag stays."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import IntegrityError, StoreError
from builder.image.deps.artifacts import Artifacts
from builder.image.deps.packages import content
from builder.image.layers import BuiltLayer, write_layer
from builder.model.annotations import DIFF_ID, KIND, TITLE
from builder.model.oci import LAYER_GZIP, MANIFEST, Descriptor, Manifest, StoredManifest, canonical_json
from builder.stores.interface import OpenBlob
from tests.fixtures.memory_store import MemoryStore


class CountingStore(MemoryStore):
    """Counts what is asked and sent."""

    def get_manifest(self, ref: str) -> StoredManifest | None:
        self.requests += 1
        return super().get_manifest(ref)


def layer(text: str) -> BuiltLayer:
    return write_layer([content("a", text.encode())]).annotated({TITLE: f"title {text}"})


def test_what_was_published_is_found_with_one_request() -> None:
    store = CountingStore()
    made = Artifacts(store).publish("deps-1", "deps", [layer("x"), layer("y")], "linux/amd64")
    store.requests = 0
    assert Artifacts(store).find("deps-1", "deps") == made
    assert store.requests == 1
    assert made.diff_ids == (layer("x").diff_id, layer("y").diff_id)
    assert dict(made.layers[0].annotations) == {KIND: "deps", TITLE: "title x", DIFF_ID: layer("x").diff_id}


def test_what_is_remembered_needs_no_request(tmp_path: Path) -> None:
    store = CountingStore()
    made = Artifacts(store, tmp_path).publish("deps-1", "deps", [layer("x")], "linux/amd64")
    store.requests = 0
    assert Artifacts(store, tmp_path).find("deps-1", "deps") == made
    assert store.requests == 0
    assert Artifacts(store, tmp_path).doubting().find("deps-1", "deps") == made
    assert store.requests == 1


def test_memory_of_one_store_is_not_believed_of_another(tmp_path: Path) -> None:
    Artifacts(MemoryStore("a/x"), tmp_path).publish("deps-1", "deps", [layer("x")], "linux/amd64")
    assert Artifacts(MemoryStore("b/x"), tmp_path).find("deps-1", "deps") is None


def test_a_store_on_this_machine_is_asked_itself(tmp_path: Path) -> None:
    """Its directory may be deleted at any time."""
    Artifacts(MemoryStore("oci:/x"), tmp_path).publish("deps-1", "deps", [layer("x")], "linux/amd64")
    assert Artifacts(MemoryStore("oci:/x"), tmp_path).find("deps-1", "deps") is None


def test_only_what_shall_be_copied_is(tmp_path: Path) -> None:
    copies = MemoryStore("copies")
    Artifacts(MemoryStore(), copies=copies).publish("deps-1", "deps", [layer("x")], "linux/amd64")
    assert not copies.blobs


def test_a_damaged_memory_is_no_memory(tmp_path: Path) -> None:
    store = MemoryStore()
    made = Artifacts(store, tmp_path).publish("deps-1", "deps", [layer("x")], "linux/amd64")
    for path in tmp_path.rglob("*.json"):
        path.write_bytes(b'{"layers": ')
    assert Artifacts(store, tmp_path).find("deps-1", "deps") == made


def test_the_first_one_wins() -> None:
    store = MemoryStore()
    first = Artifacts(store).publish("deps-1", "deps", [layer("x")], "linux/amd64")
    assert Artifacts(store).publish("deps-1", "deps", [layer("y")], "linux/amd64") == first
    assert list(store.tags) == ["deps-1"]


def test_who_comes_second_between_look_and_push_adopts_the_first() -> None:
    class Racing(MemoryStore):
        """Somebody else pushes after the look, before the push."""

        def put_manifest(self, data: bytes, media_type: str, tags: tuple[str, ...] = ()) -> str:
            if not self.tags:
                Artifacts(other).publish("deps-1", "deps", [layer("x")], "linux/amd64")
                self.blobs.update(other.blobs)
                self.manifests.update(other.manifests)
                self.tags.update(other.tags)
            return super().put_manifest(data, media_type, tags)

    other = MemoryStore()
    store = Racing()
    made = Artifacts(store).publish("deps-1", "deps", [layer("y")], "linux/amd64")
    assert made.diff_ids == (layer("x").diff_id,)
    assert store.tags["deps-1"] == made.digest


def test_a_copy_on_disk_fills_a_new_store() -> None:
    copies, store = MemoryStore("copies"), MemoryStore("new")
    made = Artifacts(MemoryStore("old"), copies=copies).publish("tool-1", "tool", [layer("x")], "linux/amd64", copy=True)
    assert Artifacts(store, copies=copies).find("tool-1", "tool") is None
    assert Artifacts(store, copies=copies).bring("tool-1", "tool") == made
    assert set(store.blobs) == set(copies.blobs)
    assert store.tags == {"tool-1": made.digest}


def test_blobs_are_there_before_the_manifest() -> None:
    store = MemoryStore()  # refuses a manifest that names blobs which it lacks
    Artifacts(store, copies=MemoryStore()).publish("tool-1", "tool", [layer("x")], "linux/amd64", copy=True)


def test_a_foreign_manifest_under_the_tag_is_refused() -> None:
    store = MemoryStore()
    made = layer("x")
    store.put_blob(made.descriptor, made.open)
    manifest = Manifest(made.descriptor, (made.annotated({KIND: "deps"}).descriptor,))
    store.put_manifest(manifest.to_bytes(), MANIFEST, ("deps-1",))
    with pytest.raises(IntegrityError, match="without a DiffID"):
        Artifacts(store).find("deps-1", "deps")
    store.put_manifest(canonical_json({"manifests": []}), MANIFEST, ("deps-2",))
    with pytest.raises(IntegrityError):
        Artifacts(store).find("deps-2", "deps")


def test_the_config_says_the_platform_with_its_variant() -> None:
    store = MemoryStore()
    made = Artifacts(store).publish("deps-1", "deps", [layer("x")], "linux/arm64/v8")
    config = json.loads(store.blobs[Manifest.from_bytes(store.manifests[made.digest].data).config.digest])
    assert (config["os"], config["architecture"], config["variant"]) == ("linux", "arm64", "v8")


def test_a_second_tag_never_moves() -> None:
    store = MemoryStore()
    artifacts = Artifacts(store)
    first = artifacts.publish("tool-1", "tool", [layer("x")], "linux/amd64")
    second = artifacts.publish("tool-2", "tool", [layer("y")], "linux/amd64")
    artifacts.also(first, "tool-0.1.0-cp312-amd64")
    artifacts.also(second, "tool-0.1.0-cp312-amd64")
    assert store.tags["tool-0.1.0-cp312-amd64"] == first.digest


def test_a_copy_is_sent_in_chunks_and_never_held_whole() -> None:
    """Tool layers are some 100 MB."""

    class Slow(MemoryStore):
        """Gives a blob byte by byte, and counts the bytes that were taken."""

        taken = 0

        def open_blob(self, digest: str) -> Iterator[bytes]:
            for number in range(len(self.blobs[digest])):
                self.taken += 1
                yield self.blobs[digest][number : number + 1]

    class Lazy(MemoryStore):
        """Opens a blob and sees what was read for it."""

        def put_blob(self, blob: Descriptor, source: OpenBlob, mount_from: str = "") -> bool:
            before = copies.taken
            with source() as stream:
                assert stream.read(1)
                assert before < copies.taken <= before + (1 << 16)
            return super().put_blob(blob, source, mount_from)

    copies, store = Slow("copies"), Lazy("new")
    noise = os.urandom(1 << 17).hex()
    made = Artifacts(MemoryStore("old"), copies=copies).publish("tool-1", "tool", [layer(noise)], "linux/amd64", copy=True)
    assert Artifacts(store, copies=copies).bring("tool-1", "tool") == made
    assert store.blobs == copies.blobs


def test_layers_are_sent_while_others_are_made_and_never_many_at_once() -> None:
    meeting = threading.Barrier(2, timeout=20)

    class Waiting(MemoryStore):
        """A blob is only taken together with another one."""

        def put_blob(self, blob: Descriptor, source: OpenBlob, mount_from: str = "") -> bool:
            if blob.media_type == LAYER_GZIP:
                meeting.wait()
                sent.append(blob.digest)
            return super().put_blob(blob, source, mount_from)

    def made() -> Iterator[BuiltLayer]:
        for number in range(10):
            assert number - len(sent) <= 4
            yield layer(str(number))

    sent: list[str] = []
    published = Artifacts(Waiting()).publish("deps-1", "deps", made(), "linux/amd64")
    assert published.diff_ids == tuple(layer(str(number)).diff_id for number in range(10))


def test_a_layer_that_cannot_be_sent_ends_it_and_nothing_is_tagged() -> None:
    class Full(MemoryStore):
        """Takes one layer."""

        def put_blob(self, blob: Descriptor, source: OpenBlob, mount_from: str = "") -> bool:
            if self.blobs:
                raise StoreError("full")
            return super().put_blob(blob, source, mount_from)

    store = Full()
    with pytest.raises(StoreError, match="full"):
        Artifacts(store).publish("deps-1", "deps", (layer(str(number)) for number in range(20)), "linux/amd64")
    assert not store.tags
