"""The OCI layout on disk: many writers, killed writers, full disks, damage, layouts of other tools."""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import os
import subprocess
import time
from collections.abc import Iterator
from multiprocessing.context import ForkProcess as Process
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from builder.errors import BlobUnknownError, IntegrityError, StoreError
from builder.model.oci import CONFIG, INDEX, LAYER_GZIP, MANIFEST, Descriptor, Manifest, canonical_json, sha256
from builder.stores.layout import LayoutStore


def put(store: LayoutStore, data: bytes, media_type: str = LAYER_GZIP, annotations: dict[str, str] | None = None) -> Descriptor:
    blob = Descriptor(media_type, sha256(data), len(data), annotations or {})
    store.put_blob(blob, lambda: io.BytesIO(data))
    return blob


def assert_valid(directory: Path) -> None:
    """Everything index.json reaches is there and hashes to its name."""
    assert json.loads((directory / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    store = LayoutStore(directory)
    for tag in store.list_tags():
        found = store.get_manifest(tag)
        assert found is not None
        assert store.missing_blobs(Manifest.from_bytes(found.data)) == ()
    for path in (directory / "blobs" / "sha256").iterdir():
        assert sha256(path.read_bytes()) == f"sha256:{path.name}"


def write_images(directory: Path, who: str, count: int, started: Event) -> None:
    store = LayoutStore(directory)
    config, shared = put(store, b"{}", CONFIG), put(store, b"shared" * 100_000)
    started.set()
    for number in range(count):
        own = Manifest(config, (shared, put(store, f"{who} {number}".encode() * 1000)))
        store.put_manifest(own.to_bytes(), MANIFEST, (f"{who}-{number}", f"{who}-{number}-too"))
        store.put_manifest(Manifest(config, (shared,), {"n": str(number)}).to_bytes(), MANIFEST, (f"same-{number}",))


def start_writer(directory: Path, who: str, count: int) -> tuple[Process, Event]:
    context = multiprocessing.get_context("fork")
    started = context.Event()
    writer = context.Process(target=write_images, args=(directory, who, count, started))
    writer.start()
    return writer, started


def test_processes_at_once(tmp_path: Path) -> None:
    directory = tmp_path / "images"
    writers = [start_writer(directory, f"w{number}", 3)[0] for number in range(32)]
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 32
    assert len(LayoutStore(directory).list_tags()) == 32 * 3 * 2 + 3
    assert_valid(directory)


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03, 0.05])
def test_a_killed_writer_leaves_a_valid_layout(tmp_path: Path, delay: float) -> None:
    directory = tmp_path / "images"
    writer, started = start_writer(directory, "victim", 100_000)
    assert started.wait(30)
    time.sleep(delay)
    writer.kill()
    writer.join()
    assert_valid(directory)
    store = LayoutStore(directory)
    store.put_manifest(Manifest(put(store, b"{}", CONFIG), ()).to_bytes(), MANIFEST, ("after",))
    assert "after" in store.list_tags()


def test_what_killed_writers_left_is_swept_after_a_day(tmp_path: Path) -> None:
    put(LayoutStore(tmp_path), b"first")
    old, new = tmp_path / ".tmp" / "old", tmp_path / ".tmp" / "new"
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    put(LayoutStore(tmp_path), b"second")
    assert (old.exists(), new.exists()) == (False, True)


def test_base_blobs_may_be_missing(tmp_path: Path) -> None:
    store = LayoutStore(tmp_path)
    base = Descriptor(LAYER_GZIP, sha256(b"base"), 4, {"dev.builder.kind": "base"})
    code = put(store, b"code", annotations={"dev.builder.kind": "code"})
    manifest = Manifest(put(store, b"{}", CONFIG), (base, code))
    store.put_manifest(manifest.to_bytes(), MANIFEST, ("t",))
    assert [blob.digest for blob in store.missing_blobs(manifest)] == [base.digest]


@pytest.mark.parametrize("kind", ["code", "deps", "tool", ""])
def test_other_blobs_may_not(tmp_path: Path, kind: str) -> None:
    store = LayoutStore(tmp_path)
    absent = Descriptor(LAYER_GZIP, sha256(b"absent"), 6, {"dev.builder.kind": kind})
    with pytest.raises(BlobUnknownError, match=absent.digest):
        store.put_manifest(Manifest(put(store, b"{}", CONFIG), (absent,)).to_bytes(), MANIFEST)


def test_a_deleted_blob_is_put_again(tmp_path: Path) -> None:
    store = LayoutStore(tmp_path)
    blob = put(store, b"data")
    path = tmp_path / "blobs" / "sha256" / blob.digest[7:]
    path.unlink()
    assert not store.has_blob(blob.digest)
    assert store.put_blob(blob, lambda: io.BytesIO(b"data")) is True
    path.write_bytes(b"da")
    assert store.put_blob(blob, lambda: io.BytesIO(b"data")) is True
    assert path.read_bytes() == b"data"


def test_a_deleted_manifest_is_put_again(tmp_path: Path) -> None:
    store = LayoutStore(tmp_path)
    data = Manifest(put(store, b"{}", CONFIG), ()).to_bytes()
    digest = store.put_manifest(data, MANIFEST, ("t",))
    (tmp_path / "blobs" / "sha256" / digest[7:]).unlink()
    assert store.get_manifest("t") is None
    assert store.put_manifest(data, MANIFEST, ("t",)) == digest
    assert store.get_manifest("t") is not None


def test_a_damaged_blob_names_its_file_and_the_remedy(tmp_path: Path) -> None:
    store = LayoutStore(tmp_path)
    blob = put(store, b"right")
    path = tmp_path / "blobs" / "sha256" / blob.digest[7:]
    path.write_bytes(b"wrong")
    with pytest.raises(IntegrityError, match=str(path)) as caught:
        list(store.open_blob(blob.digest))
    assert f"rm {path}" in caught.value.hint


def test_a_damaged_manifest_is_not_given_out(tmp_path: Path) -> None:
    store = LayoutStore(tmp_path)
    digest = store.put_manifest(Manifest(put(store, b"{}", CONFIG), ()).to_bytes(), MANIFEST, ("t",))
    (tmp_path / "blobs" / "sha256" / digest[7:]).write_bytes(b"{}")
    for ref in ("t", digest):
        with pytest.raises(IntegrityError, match=digest[7:]):
            store.get_manifest(ref)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"manifests": {}}',
        '{"manifests": [1]}',
        '{"manifests": [{"digest": "sha256:../../etc/passwd"}]}',
        '{"manifests": [{"digest": 7}]}',
        "\udcff",
    ],
)
def test_a_damaged_index_names_its_file_and_the_remedy(tmp_path: Path, text: str) -> None:
    store = LayoutStore(tmp_path)
    store.put_manifest(Manifest(put(store, b"{}", CONFIG), ()).to_bytes(), MANIFEST, ("t",))
    (tmp_path / "index.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(IntegrityError, match=r"index\.json") as caught:
        store.get_manifest("t")
    assert "index.json" in caught.value.hint


def test_another_writers_tags_are_seen(tmp_path: Path) -> None:
    one, two = LayoutStore(tmp_path), LayoutStore(tmp_path)
    data = Manifest(put(one, b"{}", CONFIG), ()).to_bytes()
    for number in range(20):
        one.put_manifest(data, MANIFEST, (f"one{number}",))
        two.put_manifest(data, MANIFEST, (f"two{number}",))
    assert one.list_tags() == two.list_tags()
    assert len(one.list_tags()) == 40


def test_a_directory_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(StoreError, match="not an OCI layout"):
        put(LayoutStore(tmp_path), b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_reading_makes_nothing(tmp_path: Path) -> None:
    store = LayoutStore(tmp_path / "none")
    assert store.get_manifest("t") is None
    assert store.list_tags() == ()
    assert not (tmp_path / "none").exists()


def foreign(directory: Path, index: object, *blobs: bytes) -> LayoutStore:
    """A layout as another tool writes it."""
    (directory / "blobs" / "sha256").mkdir(parents=True)
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "index.json").write_text(json.dumps(index))
    for blob in blobs:
        (directory / "blobs" / "sha256" / sha256(blob)[7:]).write_bytes(blob)
    return LayoutStore(directory)


def test_a_foreign_layout_without_names(tmp_path: Path) -> None:
    manifest = b'{"schemaVersion":2,"config":{},"layers":[]}'
    entry = {"mediaType": MANIFEST, "digest": sha256(manifest), "size": len(manifest), "platform": {"os": "linux"}}
    store = foreign(tmp_path, {"schemaVersion": 2, "manifests": [entry], "annotations": {"who": "them"}}, manifest)
    assert store.list_tags() == ()
    assert store.manifests() == (sha256(manifest),)
    found = store.get_manifest(sha256(manifest))
    assert found is not None
    assert found.media_type == MANIFEST
    store.put_manifest(Manifest(put(store, b"{}", CONFIG), ()).to_bytes(), MANIFEST, ("ours",))
    kept = json.loads((tmp_path / "index.json").read_bytes())
    assert kept["manifests"][0] == entry
    assert kept["annotations"] == {"who": "them"}


def test_a_foreign_layout_with_a_nested_index(tmp_path: Path) -> None:
    manifest = b'{"schemaVersion":2,"config":{},"layers":[]}'
    child = {"mediaType": MANIFEST, "digest": sha256(manifest), "size": len(manifest)}
    named = {**child, "annotations": {"org.opencontainers.image.ref.name": "inner"}}
    index = canonical_json({"schemaVersion": 2, "manifests": [named]})
    entry = {"mediaType": INDEX, "digest": sha256(index), "size": len(index)}
    store = foreign(tmp_path, {"schemaVersion": 2, "manifests": [entry]}, manifest, index)
    found, outer = store.get_manifest("inner"), store.get_manifest(sha256(index))
    assert found is not None
    assert found.digest == sha256(manifest)
    assert outer is not None
    assert outer.media_type == INDEX


def test_a_layer_is_no_manifest(tmp_path: Path) -> None:
    store = LayoutStore(tmp_path)
    for data in (b"\x1f\x8b layer", b"{}", b"[1]", b'{"layers": 1}'):
        assert store.get_manifest(put(store, data).digest) is None


class FullDisk(io.BytesIO):
    """Fails as a file on a full disk does, after `room` bytes."""

    def __init__(self, file: BinaryIO, room: int) -> None:
        super().__init__()
        self.file, self.room = file, room

    def write(self, data: object) -> int:
        assert isinstance(data, bytes)
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(data)

    def fileno(self) -> int:
        return self.file.fileno()

    def close(self) -> None:
        self.file.close()


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LayoutStore(tmp_path)
    digest = store.put_manifest(Manifest(put(store, b"{}", CONFIG), ()).to_bytes(), MANIFEST, ("before",))
    real = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda handle, mode: FullDisk(cast(BinaryIO, real(handle, mode)), 10))
    for write in (lambda: put(store, b"x" * 3_000_000), lambda: store.put_manifest(b'{"layers":[],"config":{}}', INDEX, ("after",))):
        with pytest.raises(StoreError, match="disk full") as caught:
            write()
        assert str(tmp_path) in caught.value.message
    assert "3000000 bytes" in _message(store)
    monkeypatch.undo()
    assert list((tmp_path / ".tmp").iterdir()) == []
    assert LayoutStore(tmp_path).list_tags() == ("before",)
    assert LayoutStore(tmp_path).get_manifest(digest) is not None
    assert_valid(tmp_path)


def _message(store: LayoutStore) -> str:
    with pytest.raises(StoreError) as caught:
        put(store, b"x" * 3_000_000)
    return caught.value.message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.docker  # that tier runs as root, and may mount; test_a_full_disk covers the same with an injected fault
def test_a_really_full_disk(small_disk: Path) -> None:
    store = LayoutStore(small_disk / "images")
    config = put(store, b"{}", CONFIG)
    store.put_manifest(Manifest(config, ()).to_bytes(), MANIFEST, ("before",))
    with pytest.raises(StoreError, match=r"disk full.*needs 400000 bytes"):
        put(store, os.urandom(400_000))
    assert list((small_disk / "images" / ".tmp").iterdir()) == []
    count = 0
    with pytest.raises(StoreError, match="disk full"):
        for count in range(1000):
            store.put_manifest(Manifest(config, (), {"n": str(count)}).to_bytes(), MANIFEST, (f"t{count}",))
    assert count > 5
    assert_valid(small_disk / "images")
    assert len(LayoutStore(small_disk / "images").list_tags()) == count + 1


def test_one_directory_has_one_name(tmp_path: Path) -> None:
    assert LayoutStore(tmp_path / "x" / ".." / "y" / ".").name == f"oci:{tmp_path}/y"


def test_a_layout_in_a_working_tree_is_none_of_git(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    put(LayoutStore(tmp_path / "lay"), b"x")
    status = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert status.stdout == ""
    assert (tmp_path / "lay/.gitignore").read_text() == "*\n"


def test_a_lock_that_cannot_be_opened(tmp_path: Path) -> None:
    store = LayoutStore(tmp_path / "lay")
    put(store, b"x")
    (tmp_path / "lay/.lock").unlink()
    (tmp_path / "lay/.lock").mkdir()
    with pytest.raises(StoreError, match=r"cannot lock .*\.lock: "):
        store.put_manifest(Manifest(put(store, b"{}", CONFIG), ()).to_bytes(), MANIFEST, ("t",))
