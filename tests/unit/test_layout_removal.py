"""Clean-up of a layout on disk: what goes, what stays, and writers at the same time."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from builder.errors import BlobUnknownError, IntegrityError, StoreError
from builder.model.annotations import INPUTS, KIND, REVISION
from builder.model.oci import CONFIG, INDEX, LAYER_GZIP, MANIFEST, Descriptor, Manifest, canonical_json, sha256
from builder.stores import layout_files, layout_removal
from builder.stores.interface import GONE, REMOVED
from builder.stores.layout import LayoutStore

HOUR = 3600


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    return LayoutStore(tmp_path / "images")


def put(store: LayoutStore, data: bytes, media_type: str = LAYER_GZIP) -> Descriptor:
    blob = Descriptor(media_type, sha256(data), len(data))
    store.put_blob(blob, lambda: io.BytesIO(data))
    return blob


def image(store: LayoutStore, *layers: str, tag: str = "") -> str:
    blobs = tuple(put(store, layer.encode()) for layer in layers)
    return store.put_manifest(Manifest(put(store, b"{}", CONFIG), blobs).to_bytes(), MANIFEST, (tag,) if tag else ())


def index_of(store: LayoutStore, *digests: str, tag: str = "", nested: str = MANIFEST) -> str:
    children = [Descriptor(nested, digest, path_of(store, digest).stat().st_size).to_json() for digest in digests]
    data = canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": children})
    return store.put_manifest(data, INDEX, (tag,) if tag else ())


def path_of(store: LayoutStore, digest: str) -> Path:
    return store.directory / "blobs" / "sha256" / digest[7:]


def age(store: LayoutStore, *digests: str, by: float = 3 * HOUR) -> None:
    """All blobs when none is named."""
    paths = [path_of(store, digest) for digest in digests] or list((store.directory / "blobs" / "sha256").iterdir())
    for path in paths:
        os.utime(path, (time.time() - by,) * 2)


def remove(store: LayoutStore, *digests: str) -> dict[str, str]:
    return dict(store.remove(digests))


def blobs(store: LayoutStore) -> set[str]:
    return {f"sha256:{path.name}" for path in (store.directory / "blobs" / "sha256").iterdir()}


# --- what goes ------------------------------------------------------------------------------------------------------------------------


def test_blobs_of_a_removed_image_go_and_shared_ones_stay(store: LayoutStore) -> None:
    one = image(store, "shared", "x" * 1000, tag="one")
    two = image(store, "shared", "own", tag="two")
    age(store)
    remove(store, one)
    assert store.sweep(dry=True) == 1000
    assert store.sweep(dry=False) == 1000
    assert store.sweep(dry=False) == 0
    assert blobs(store) == {two, *map(sha256, (b"shared", b"own", b"{}"))}


def test_a_dry_sweep_removes_nothing(store: LayoutStore) -> None:
    remove(store, image(store, "x"))
    age(store)
    before = blobs(store)
    store.sweep(dry=True)
    assert blobs(store) == before


@pytest.mark.parametrize(("hours", "swept"), [(1.9, 0), (2.1, 7)])
def test_what_is_younger_than_two_hours_stays(store: LayoutStore, hours: float, swept: int) -> None:
    blob = put(store, b"pending")
    age(store, blob.digest, by=hours * HOUR)
    assert store.sweep(dry=False) == swept
    assert store.has_blob(blob.digest) == (not swept)


def test_what_is_used_again_counts_as_new(store: LayoutStore) -> None:
    blob = put(store, b"shared")
    age(store, blob.digest)
    assert put(store, b"shared") == blob
    assert store.sweep(dry=False) == 0
    assert store.has_blob(blob.digest)


def test_a_manifest_that_is_put_again_counts_as_new(store: LayoutStore) -> None:
    image(store, "x", tag="a")
    age(store)
    image(store, "x", tag="a")
    (found,) = store.held()
    assert found.pushed is not None
    assert found.pushed > time.time() - HOUR


def test_a_file_of_somebody_else_is_written_anew(store: LayoutStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time cannot be set, and it must not be swept under the writer's feet."""
    blob = put(store, b"shared")
    age(store, blob.digest)
    monkeypatch.setattr(os, "utime", lambda path: (_ for _ in ()).throw(PermissionError(1, "Operation not permitted")))
    put(store, b"shared")
    monkeypatch.undo()
    assert store.sweep(dry=False) == 0


def test_only_blobs_are_swept(store: LayoutStore) -> None:
    put(store, b"x")
    foreign = store.directory / "blobs" / "sha256" / "README"
    other = store.directory / "blobs" / "sha512" / ("0" * 128)
    other.parent.mkdir()
    for path in (foreign, other):
        path.write_text("mine")
    age(store)
    os.utime(other, (0, 0))
    assert store.sweep(dry=False) == 1
    assert foreign.exists()
    assert other.exists()


def test_a_layout_that_is_not_there_stays_so(store: LayoutStore) -> None:
    assert remove(store, sha256(b"x")) == {sha256(b"x"): GONE}
    assert (list(store.held()), store.sweep(dry=False)) == ([], 0)
    assert not store.directory.exists()


# --- indexes, referrers, what other tools write ---------------------------------------------------------------------------------------


def test_what_an_index_names_goes_after_it(store: LayoutStore) -> None:
    child = image(store, "x", tag="child")
    index = index_of(store, child, tag="multi")
    assert remove(store, child) == {child: f"refused: the index {index} names it"}
    assert store.get_manifest("child") is not None
    assert remove(store, child, index) == {index: REMOVED, child: REMOVED}


def test_in_batches_the_index_may_come_late(store: LayoutStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_removal, "_BATCH", 2)
    children = [image(store, str(number)) for number in range(5)]
    index = index_of(store, *children)
    assert remove(store, *children, index) == dict.fromkeys([*children, index], REMOVED)


def test_what_only_a_nested_index_names_is_kept(store: LayoutStore) -> None:
    """As other tools write it: index.json names the index alone."""
    child = image(store, "deep")
    inner = index_of(store, child)
    outer = index_of(store, inner, tag="outer", nested=INDEX)
    raw = json.loads((store.directory / "index.json").read_bytes())
    raw["manifests"] = [entry for entry in raw["manifests"] if entry["digest"] == outer]
    (store.directory / "index.json").write_text(json.dumps(raw))
    age(store)
    assert store.sweep(dry=False) == 0
    assert blobs(store) == {child, inner, outer, sha256(b"deep"), sha256(b"{}")}
    remove(store, outer)
    store.sweep(dry=False)
    assert blobs(store) == set()


def test_kinds_of_manifests_that_nobody_knows_keep_their_blobs(store: LayoutStore) -> None:
    kept = put(store, b"a chart")
    data = canonical_json({"mediaType": "application/vnd.oci.artifact.manifest.v1+json", "blobs": [kept.to_json()]})
    artifact = put(store, data)
    entry = {"mediaType": "application/vnd.oci.artifact.manifest.v1+json", "digest": artifact.digest, "size": artifact.size}
    (store.directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry], "annotations": {"who": "them"}}))
    age(store)
    assert store.sweep(dry=False) == 0
    assert store.has_blob(kept.digest)


def test_entries_of_other_tools_are_kept_as_they_are(store: LayoutStore) -> None:
    one, two = image(store, "one", tag="one"), image(store, "two", tag="two")
    raw = json.loads((store.directory / "index.json").read_bytes())
    raw["annotations"] = {"who": "them"}
    entry = next(entry for entry in raw["manifests"] if entry["digest"] == two)
    entry["platform"] = {"os": "linux"}
    (store.directory / "index.json").write_text(json.dumps(raw))
    remove(store, one)
    assert json.loads((store.directory / "index.json").read_bytes()) == {**raw, "manifests": [entry]}


def test_a_layout_that_another_tool_made(store: LayoutStore) -> None:
    one = image(store, "one", tag="one")
    for path in (store.directory / ".tmp", store.directory / ".lock"):
        path.rmdir() if path.is_dir() else path.unlink()
    assert remove(LayoutStore(store.directory), one) == {one: REMOVED}
    (store.directory / ".tmp").rmdir()
    (store.directory / ".lock").unlink()
    age(store)
    assert LayoutStore(store.directory).sweep(dry=False) == 5


def test_a_base_that_is_elsewhere_is_no_trouble(store: LayoutStore) -> None:
    base = Descriptor(LAYER_GZIP, sha256(b"base"), 4, {"dev.builder.kind": "base"})
    digest = store.put_manifest(Manifest(put(store, b"{}", CONFIG), (base,)).to_bytes(), MANIFEST, ("a",))
    age(store)
    assert store.sweep(dry=False) == 0
    assert remove(store, digest) == {digest: REMOVED}


def test_an_entry_without_its_file_can_be_removed(store: LayoutStore) -> None:
    digest = image(store, "x", tag="a")
    path_of(store, digest).unlink()
    assert [(one.digest, one.tags, one.pushed) for one in store.held()] == [(digest, ("a",), None)]
    assert remove(store, digest) == {digest: REMOVED}
    assert store.list_tags() == ()


@pytest.mark.parametrize("data", [b"{}", b"", b"\x00" * 100, b"x" * (9 << 20)])
def test_a_damaged_manifest_stops_the_sweep(store: LayoutStore, data: bytes) -> None:
    """Nobody knows which blobs it names."""
    digest = image(store, "x", tag="a")
    stray = put(store, b"stray")
    path_of(store, digest).write_bytes(data)
    age(store)
    with pytest.raises(IntegrityError, match=digest[7:]) as caught:
        store.sweep(dry=False)
    assert caught.value.hint
    assert store.has_blob(stray.digest)


# --- an index that lost what it named ------------------------------------------------------------------------------------------------


def image_of_ours(store: LayoutStore, *layers: str, tag: str = "") -> str:
    blobs = tuple(put(store, layer.encode()) for layer in layers)
    notes = {INPUTS: "0" * 16, REVISION: "1" * 40}
    return store.put_manifest(Manifest(put(store, b"{}", CONFIG), blobs, notes).to_bytes(), MANIFEST, (tag,) if tag else ())


def layer_of_ours(store: LayoutStore, tag: str) -> str:
    """Such as dependencies: only its layer says so."""
    blob = put(store, b"deps")
    layer = Descriptor(blob.media_type, blob.digest, blob.size, {KIND: "deps"})
    return store.put_manifest(Manifest(put(store, b"{}", CONFIG), (layer,)).to_bytes(), MANIFEST, (tag,))


def forget(store: LayoutStore, *digests: str) -> None:
    """As if index.json had never named them."""
    raw = json.loads((store.directory / "index.json").read_bytes())
    raw["manifests"] = [entry for entry in raw["manifests"] if entry["digest"] not in digests]
    (store.directory / "index.json").write_text(json.dumps(raw))


def test_manifests_of_ours_that_nothing_names_are_held_and_keep_their_blobs(store: LayoutStore) -> None:
    lost, named = image_of_ours(store, "lost", tag="lost"), image_of_ours(store, "named", tag="named")
    deps, signed = layer_of_ours(store, "deps-1"), signature_of(store, lost)
    forget(store, lost, deps, signed)
    stray = put(store, b'{"a": "stray"}')
    age(store)
    assert {one.digest: one.tags for one in store.held()} == {named: ("named",), lost: (), deps: (), signed: ()}
    assert store.sweep(dry=True) == stray.size
    assert store.sweep(dry=False) == stray.size
    assert {lost, deps, signed, *map(sha256, (b"lost", b"deps"))} <= blobs(store)
    assert remove(store, lost, deps, signed) == dict.fromkeys((lost, deps, signed), REMOVED)
    store.sweep(dry=False)
    assert blobs(store) == {named, *map(sha256, (b"named", b"{}"))}


def signature_of(store: LayoutStore, subject: str) -> str:
    raw = json.loads(Manifest(put(store, b"{}", CONFIG), ()).to_bytes())
    raw["subject"] = {"mediaType": MANIFEST, "digest": subject, "size": 1}
    return store.put_manifest(canonical_json(raw), MANIFEST)


def test_a_lost_manifest_that_is_damaged_stops_the_sweep(store: LayoutStore) -> None:
    lost = image_of_ours(store, "lost", tag="lost")
    forget(store, lost)
    path_of(store, lost).write_bytes(b'{"layers": ')
    age(store)
    with pytest.raises(IntegrityError, match=lost[7:]):
        store.sweep(dry=False)
    assert store.has_blob(sha256(b"lost"))


def test_blobs_without_an_index_are_not_touched(store: LayoutStore) -> None:
    digest = image(store, "x", tag="a")
    age(store)
    (store.directory / "index.json").unlink()
    for work in (lambda: list(store.held()), lambda: store.sweep(dry=False), lambda: remove(store, digest)):
        with pytest.raises(IntegrityError, match=r"index\.json is missing, and there are blobs") as caught:
            work()
        assert "put back a copy of it" in caught.value.hint
    assert not (store.directory / "index.json").exists()
    assert blobs(store) == {digest, *map(sha256, (b"x", b"{}"))}


def test_a_file_that_cannot_be_removed_is_told_alone(store: LayoutStore, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = image(store, "one", tag="one"), image(store, "two", tag="two")
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == path_of(store, one):
            raise PermissionError(1, "Operation not permitted")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    done = remove(store, one, two)
    assert done[two] == REMOVED
    assert done[one].startswith(f"refused: cannot remove {path_of(store, one)}: Operation not permitted; index.json does not name it")


def test_where_nothing_can_be_removed_the_index_is_left_alone(store: LayoutStore, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = image(store, "one", tag="one")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(StoreError, match="nothing can be removed from"):
        remove(store, digest)
    assert store.list_tags() == ("one",)


def test_a_damaged_manifest_is_told_with_the_command_that_makes_it(store: LayoutStore) -> None:
    digest = image(store, "x", tag=f"{'1' * 40}-{'0' * 16}")
    path_of(store, digest).write_bytes(b"{}")
    for work in (lambda: store.get_manifest(digest), lambda: store.sweep(dry=False)):
        with pytest.raises(IntegrityError) as caught:
            work()
        assert caught.value.hint.startswith(f"remove it (rm {path_of(store, digest)}); `builder image --commit {'1' * 40}` makes")


# --- at the same time -----------------------------------------------------------------------------------------------------------------


def test_a_blob_that_was_swept_after_it_was_looked_for_is_missed(store: LayoutStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that took longer than two hours, or reuses a layer of an image that goes: it is told, and makes the layer again."""
    layer, config = put(store, b"layer"), put(store, b"{}", CONFIG)
    age(store)
    data = Manifest(config, (layer,)).to_bytes()
    prepare = layout_files.LayoutFiles.prepare

    def sweep_first(self: layout_files.LayoutFiles) -> None:
        """Between the first look and the lock."""
        prepare(self)
        LayoutStore(store.directory).sweep(dry=False)

    monkeypatch.setattr(layout_files.LayoutFiles, "prepare", sweep_first)
    with pytest.raises(BlobUnknownError, match=r"sha256:[0-9a-f]{64}"):
        store.put_manifest(data, MANIFEST, ("late",))
    assert store.list_tags() == ()
    monkeypatch.undo()
    put(store, b"layer")
    put(store, b"{}", CONFIG)
    store.put_manifest(data, MANIFEST, ("late",))
    assert store.sweep(dry=False) == 0


def before_the_lock(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> list[object]:
    """Somebody else does `work` when the clean-up has looked, and is about to take the lock. What is left in the list did not happen."""
    locked, waiting = layout_files.LayoutFiles.locked, [work]

    def come_first(self: layout_files.LayoutFiles) -> object:
        if waiting and threading.current_thread() is threading.main_thread():
            other = threading.Thread(target=waiting.pop())
            other.start()
            other.join()
        return locked(self)

    monkeypatch.setattr(layout_files.LayoutFiles, "locked", come_first)
    return waiting  # type: ignore[return-value]


def test_a_manifest_that_comes_during_the_sweep_keeps_its_blobs(store: LayoutStore, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, config = put(store, b"layer"), put(store, b"{}", CONFIG)
    stray = put(store, b"stray")
    age(store)
    data = Manifest(config, (layer,)).to_bytes()
    left = before_the_lock(monkeypatch, lambda: LayoutStore(store.directory).put_manifest(data, MANIFEST, ("in time",)))
    assert store.sweep(dry=False) == len(b"stray")
    assert not left
    assert not store.has_blob(stray.digest)
    assert b"".join(store.open_blob(layer.digest)) == b"layer"


def test_a_blob_that_is_used_during_the_sweep_stays(store: LayoutStore, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, stray = put(store, b"layer"), put(store, b"stray")
    age(store)
    left = before_the_lock(monkeypatch, lambda: put(LayoutStore(store.directory), b"layer"))
    assert store.sweep(dry=False) == len(b"stray")
    assert not left
    assert blobs(store) == {layer.digest}
    assert stray.digest not in blobs(store)


def write_kept(directory: Path, who: int) -> None:
    """Images of old layers and of new ones, each of which is whole when it is written."""
    store, chance = LayoutStore(directory), random.Random(who)
    for number in range(60):
        digest = made_at_last(store, [f"layer {chance.randrange(8)}" for _ in range(3)], f"kept-{who}-{number}")
        assert_whole(store, digest)


def made_at_last(store: LayoutStore, layers: list[str], tag: str) -> str:
    """As builders do: what is missed is made again."""
    for _ in range(50):
        with contextlib.suppress(BlobUnknownError):
            return image(store, *layers, tag=tag)
    raise AssertionError("a writer never came to its end")


def clean_up(directory: Path, ended: threading.Event) -> None:
    store, number = LayoutStore(directory), 0
    while not ended.is_set():
        number += 1
        with contextlib.suppress(BlobUnknownError):
            remove(store, image(store, f"layer {number % 8}", f"other {number}"))
        with contextlib.suppress(FileNotFoundError):
            age(store)
        store.sweep(dry=False)


def assert_whole(store: LayoutStore, ref: str) -> None:
    found = store.get_manifest(ref)
    assert found is not None
    assert store.missing_blobs(Manifest.from_bytes(found.data)) == ()


def test_writers_and_clean_up_at_once(store: LayoutStore) -> None:
    """Layers that look old are used again and again, while images that name them are removed and what nobody needs is swept."""
    ended = threading.Event()
    image(store, "first", tag="first")
    with ThreadPoolExecutor(5) as pool:
        cleaners = [pool.submit(clean_up, store.directory, ended) for _ in range(2)]
        writers = [pool.submit(write_kept, store.directory, who) for who in range(3)]
        wait(writers)
        ended.set()
    for work in (*writers, *cleaners):
        work.result()
    kept = [tag for tag in store.list_tags() if tag.startswith("kept-")]
    assert len(kept) == 180
    for tag in kept:
        assert_whole(store, tag)


# --- killed ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", range(7))
def test_killed_at_each_step_and_run_again(store: LayoutStore, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """A step is a rename or a removal of a file."""
    goes = [image(store, f"own {number}", "shared", tag=f"t{number}") for number in range(3)]
    kept = image(store, "shared", "kept", tag="kept")
    age(store)
    left = [step]

    def dying(real: Callable[..., object], *, asides: bool) -> Callable[..., object]:
        def call(self: Path, *args: object, **kinds: object) -> object:
            left[0] -= asides or self.parent.name != ".tmp"
            if left[0] < 0:
                raise KeyboardInterrupt
            return real(self, *args, **kinds)

        return call

    monkeypatch.setattr(Path, "replace", dying(Path.replace, asides=True))
    monkeypatch.setattr(Path, "unlink", dying(Path.unlink, asides=False))
    with pytest.raises(KeyboardInterrupt):
        remove(store, *goes)
        store.sweep(dry=False)
    monkeypatch.undo()
    again = LayoutStore(store.directory)
    assert set(again.list_tags()) in ({"kept"}, {"kept", "t0", "t1", "t2"})
    assert set(remove(again, *goes).values()) <= {REMOVED, GONE}
    again.sweep(dry=False)
    assert blobs(again) == {kept, *map(sha256, (b"shared", b"kept", b"{}"))}
