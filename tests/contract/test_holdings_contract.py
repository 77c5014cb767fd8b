"""What clean-up relies on in every store that it can clean. A new one adds a line to FACTORIES."""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any, Protocol

import pytest

from builder.model.index import is_index
from builder.model.oci import CONFIG, INDEX, LAYER_GZIP, MANIFEST, Descriptor, canonical_json, sha256
from builder.model.reference import Repository
from builder.stores.interface import GONE, REMOVED, Holdings, Store
from builder.stores.layout import LayoutStore
from builder.stores.registry import Credential, RegistryStore
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.registry_kinds import ECR, HarborServer, ecr_server
from tests.fixtures.registry_rules import Options
from tests.fixtures.registry_server import RegistryServer


class Both(Store, Holdings, Protocol):
    """What is put into and cleaned."""


@contextmanager
def layout(request: pytest.FixtureRequest) -> Iterator[Both]:
    yield LayoutStore(request.getfixturevalue("tmp_path") / "images")


@contextmanager
def memory(request: pytest.FixtureRequest) -> Iterator[Both]:
    yield MemoryStore()


@contextmanager
def strict_registry(request: pytest.FixtureRequest) -> Iterator[Both]:
    with RegistryServer() as server, closing(RegistryStore(server.repository())) as made:
        yield made


@contextmanager
def with_referrers(request: pytest.FixtureRequest) -> Iterator[Both]:
    with RegistryServer(options=Options(knows_subject=True)) as server, closing(RegistryStore(server.repository())) as made:
        yield made


@contextmanager
def docker_registry(request: pytest.FixtureRequest) -> Iterator[Both]:
    repository = Repository(request.getfixturevalue("docker_registry"), f"holdings/{uuid.uuid4().hex}")
    with closing(RegistryStore(repository)) as made:
        yield made


@contextmanager
def harbor(request: pytest.FixtureRequest) -> Iterator[Both]:
    robot = Credential("robot$ci", "secret")
    with HarborServer() as server, closing(RegistryStore(server.repository(), credentials=lambda _: robot)) as made:
        yield made


@contextmanager
def ecr(request: pytest.FixtureRequest) -> Iterator[Both]:
    monkeypatch = request.getfixturevalue("monkeypatch")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with ecr_server() as server, closing(RegistryStore(server.repository(ECR.name), aws=ECR)) as made:
        yield made


FACTORIES: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[Both]]] = {
    "memory": memory,
    "layout": layout,
    "strict registry": strict_registry,
    "registry with referrers": with_referrers,
    "docker-registry": docker_registry,
    "Harbor": harbor,
    "ECR": ecr,
}
MARKS = {"docker-registry": pytest.mark.registry}
DATED = ("memory", "layout", "Harbor", "ECR")
"""Stores that know when something was put there, and list what has no tag."""


@pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in FACTORIES])
def store(request: pytest.FixtureRequest) -> Iterator[Both]:
    with FACTORIES[request.param](request) as made:
        yield made


@pytest.fixture
def dated(request: pytest.FixtureRequest, store: Both) -> bool:
    return request.node.callspec.params["store"] in DATED


def put(store: Both, data: bytes, media_type: str = LAYER_GZIP) -> Descriptor:
    blob = Descriptor(media_type, sha256(data), len(data))
    store.put_blob(blob, lambda: io.BytesIO(data))
    return blob


def image(store: Both, text: str, *tags: str, subject: str = "", note: str = "") -> str:
    """`subject`: the digest of an image that is here."""
    config, layer = put(store, b"{}", CONFIG), put(store, text.encode())
    raw: dict[str, Any] = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config.to_json(), "layers": [layer.to_json()]}
    if note:
        raw["annotations"] = {"note": note}
    if subject:
        found = store.get_manifest(subject)
        assert found is not None
        raw["subject"] = Descriptor(MANIFEST, subject, len(found.data)).to_json()
    return store.put_manifest(canonical_json(raw), MANIFEST, tags)


def _other(store: Both) -> Both:
    """The store as somebody else sees it, who has not asked it before."""
    if isinstance(store, RegistryStore):
        store._referrers.learn(store.list_tags())
    return store


def held(store: Holdings) -> dict[str, tuple[str, ...]]:
    found = [(one.digest, one.tags) for one in store.held()]
    assert len(found) == len(dict(found)), "each once"
    return dict(found)


def test_an_empty_store_holds_nothing(store: Both) -> None:
    assert isinstance(store, Holdings)
    assert list(store.held()) == []
    assert list(store.remove([sha256(b"nothing")])) == [(sha256(b"nothing"), GONE)]
    assert store.sweep(dry=False) == 0


def test_every_tagged_manifest_is_listed_once(store: Both) -> None:
    one, two = image(store, "one", "b", "a"), image(store, "two", "c")
    assert held(store) == {one: ("a", "b"), two: ("c",)}


def test_when_it_was_put_there(store: Both, dated: bool) -> None:
    image(store, "one", "a")
    (found,) = store.held()
    assert (found.pushed is None) == (not dated)
    assert found.pushed is None or abs(found.pushed - time.time()) < 300


def test_what_has_no_tag_is_listed_where_the_store_tells(store: Both, dated: bool) -> None:
    digest = image(store, "one")
    assert held(store) == ({digest: ()} if dated else {})


def test_what_is_removed_is_gone_with_its_tags(store: Both) -> None:
    one, two = image(store, "one", "a", "b"), image(store, "two", "c")
    assert list(store.remove([one])) == [(one, REMOVED)]
    assert held(store) == {two: ("c",)}
    assert store.list_tags() == ("c",)
    for ref in (one, "a", "b"):
        assert store.get_manifest(ref) is None
    assert store.get_manifest("c") is not None


def test_removing_again_finds_it_gone(store: Both) -> None:
    one, two = image(store, "one", "a"), image(store, "two", "b")
    list(store.remove([one]))
    assert dict(store.remove([one, two])) == {one: GONE, two: REMOVED}


def test_what_was_removed_can_be_put_again(store: Both) -> None:
    one = image(store, "one", "a")
    list(store.remove([one]))
    assert image(store, "one", "a") == one
    assert held(store) == {one: ("a",)}


@pytest.mark.minutes
def test_many_in_one_go(store: Both) -> None:
    digests = [image(store, str(number), f"t{number}") for number in range(230)]
    assert dict(store.remove(iter(digests[:-1]))) == dict.fromkeys(digests[:-1], REMOVED)
    assert held(store) == {digests[-1]: ("t229",)}


def test_an_index_and_then_what_it_names(store: Both) -> None:
    digest = image(store, "one", "inner")
    found = store.get_manifest(digest)
    assert found is not None
    child = Descriptor(MANIFEST, digest, len(found.data))
    index = store.put_manifest(canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [child.to_json()]}), INDEX, ("multi",))
    assert held(store) == {digest: ("inner",), index: ("multi",)}
    assert dict(store.remove([index, digest])) == {index: REMOVED, digest: REMOVED}
    assert held(store) == {}


def test_referrers_are_found_by_their_subject(store: Both) -> None:
    one, two = image(store, "one", "a"), image(store, "two", "b")
    assert store.referrers(two) == ()
    signatures = {image(store, text, subject=one) for text in ("signature", "sbom")}
    found = set(_other(store).referrers(one))
    assert signatures <= found
    assert all(is_index(stored.media_type) for digest in found - signatures if (stored := store.get_manifest(digest)))
    list(store.remove(found - {min(signatures)}))
    assert set(_other(store).referrers(one)) <= {min(signatures)}
    list(store.remove([min(signatures), one]))
    assert held(store) == {two: ("b",)}


def test_shared_layers_stay(store: Both) -> None:
    one = image(store, "same", "a")
    two = image(store, "same", "b", note="another manifest")
    assert dict(store.remove([one])) == {one: REMOVED}
    assert held(store) == {two: ("b",)}
    store.sweep(dry=False)
    assert b"".join(store.open_blob(sha256(b"same"))) == b"same"
