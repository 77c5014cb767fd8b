"""What every store must do, whatever is behind it. A new store adds a line to FACTORIES."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager

import pytest

from builder.errors import BlobUnknownError, IntegrityError, StoreError, TagConflictError
from builder.model.oci import CONFIG, INDEX, LAYER_GZIP, MANIFEST, Descriptor, Manifest, canonical_json, sha256
from builder.model.reference import Repository
from builder.stores.interface import Store
from builder.stores.layout import LayoutStore
from builder.stores.registry import RegistryStore
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.registry_server import RegistryServer


@contextmanager
def layout(request: pytest.FixtureRequest) -> Iterator[Store]:
    yield LayoutStore(request.getfixturevalue("tmp_path") / "images")


@contextmanager
def memory(request: pytest.FixtureRequest) -> Iterator[Store]:
    yield MemoryStore()


@contextmanager
def strict_registry(request: pytest.FixtureRequest) -> Iterator[Store]:
    with RegistryServer() as server, closing(RegistryStore(server.repository())) as made:
        yield made


@contextmanager
def docker_registry(request: pytest.FixtureRequest) -> Iterator[Store]:
    repository = Repository(request.getfixturevalue("docker_registry"), f"contract/{uuid.uuid4().hex}")
    with closing(RegistryStore(repository)) as made:
        yield made


FACTORIES: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[Store]]] = {
    "memory": memory,
    "layout": layout,
    "strict registry": strict_registry,
    "docker-registry": docker_registry,
}
MARKS = {"docker-registry": pytest.mark.registry}


@pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in FACTORIES])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with FACTORIES[request.param](request) as made:
        yield made


def put(store: Store, data: bytes, media_type: str = LAYER_GZIP) -> Descriptor:
    blob = Descriptor(media_type, sha256(data), len(data))
    store.put_blob(blob, lambda: io.BytesIO(data))
    return blob


def image(store: Store, text: str = "one", annotations: dict[str, str] | None = None) -> bytes:
    config = put(store, b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}', CONFIG)
    return Manifest(config, (put(store, text.encode()),), annotations or {}).to_bytes()


def test_an_empty_store_has_nothing(store: Store) -> None:
    assert store.get_manifest("nothing") is None
    assert store.get_manifest(sha256(b"nothing")) is None
    assert store.list_tags() == ()
    assert not store.has_blob(sha256(b"nothing"))


def test_a_blob_comes_back_as_it_was(store: Store) -> None:
    blob = put(store, b"x" * 3_000_000)
    assert store.has_blob(blob.digest)
    assert b"".join(store.open_blob(blob.digest)) == b"x" * 3_000_000


def test_an_empty_blob_is_a_blob(store: Store) -> None:
    assert b"".join(store.open_blob(put(store, b"").digest)) == b""


def test_a_blob_is_sent_once(store: Store) -> None:
    data = b"once"
    blob = Descriptor(LAYER_GZIP, sha256(data), len(data))
    assert store.put_blob(blob, lambda: io.BytesIO(data)) is True
    assert store.put_blob(blob, lambda: pytest.fail("read again")) is False


def test_a_blob_that_is_not_there_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError):
        list(store.open_blob(sha256(b"nothing")))


def test_bytes_that_are_not_the_blob_are_refused(store: Store) -> None:
    blob = Descriptor(LAYER_GZIP, sha256(b"right"), 5)
    with pytest.raises((IntegrityError, StoreError)):
        store.put_blob(blob, lambda: io.BytesIO(b"wrong"))
    assert not store.has_blob(blob.digest)


def test_a_manifest_comes_back_byte_for_byte(store: Store) -> None:
    data = image(store).replace(b'"schemaVersion":2', b'"schemaVersion": 2')
    digest = store.put_manifest(data, MANIFEST, ("a", "b"))
    assert digest == sha256(data)
    for ref in (digest, "a", "b"):
        found = store.get_manifest(ref)
        assert found is not None
        assert (found.data, found.media_type, found.digest) == (data, MANIFEST, digest)
    assert store.list_tags() == ("a", "b")


def test_a_manifest_needs_no_tag(store: Store) -> None:
    digest = store.put_manifest(image(store), MANIFEST)
    assert store.get_manifest(digest) is not None
    assert store.list_tags() == ()


def test_a_manifest_of_blobs_that_are_not_there_is_refused(store: Store) -> None:
    config = put(store, b"{}", CONFIG)
    absent = Descriptor(LAYER_GZIP, sha256(b"absent"), 6)
    with pytest.raises(BlobUnknownError):
        store.put_manifest(Manifest(config, (absent,)).to_bytes(), MANIFEST, ("t",))
    assert store.get_manifest("t") is None
    with pytest.raises(BlobUnknownError):
        store.put_manifest(Manifest(absent, ()).to_bytes(), MANIFEST, ("t",))


def test_a_tag_never_moves(store: Store) -> None:
    first = store.put_manifest(image(store, "one"), MANIFEST, ("t",))
    second = image(store, "two")
    with pytest.raises(TagConflictError, match="t"):
        store.put_manifest(second, MANIFEST, ("t",))
    found = store.get_manifest("t")
    assert found is not None
    assert found.digest == first
    assert store.get_manifest(sha256(second)) is not None


def test_the_same_again_changes_nothing(store: Store) -> None:
    data = image(store)
    assert store.put_manifest(data, MANIFEST, ("t",)) == store.put_manifest(data, MANIFEST, ("t", "u"))
    assert store.list_tags() == ("t", "u")


def test_an_index_is_kept(store: Store) -> None:
    data = image(store)
    child = Descriptor(MANIFEST, store.put_manifest(data, MANIFEST), len(data))
    index = canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [child.to_json()]})
    store.put_manifest(index, INDEX, ("multi",))
    found = store.get_manifest("multi")
    assert found is not None
    assert (found.data, found.media_type) == (index, INDEX)


def test_many_threads(store: Store) -> None:
    def build(number: int) -> str:
        return store.put_manifest(image(store, f"layer {number % 4}", {"n": str(number)}), MANIFEST, (f"t{number:02}",))

    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(build, range(24)))
    assert store.list_tags() == tuple(f"t{number:02}" for number in range(24))
    for number, digest in enumerate(digests):
        found = store.get_manifest(f"t{number:02}")
        assert found is not None
        assert found.digest == digest


def test_a_closed_store_opens_again(store: Store) -> None:
    blob = put(store, b"x")
    store.close()
    store.close()
    assert b"".join(store.open_blob(blob.digest)) == b"x"
