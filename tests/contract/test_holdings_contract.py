"""What clean-up relies on in every store that it can clean. A new one adds a line to FACTORIES."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import pytest

from builder.model.oci import CONFIG, INDEX, LAYER_GZIP, MANIFEST, Descriptor, canonical_json, sha256
from builder.stores.interface import GONE, REMOVED, Holdings, Store
from builder.stores.layout import LayoutStore
from tests.fixtures.memory_store import MemoryStore


class Both(Store, Holdings, Protocol):
    """What is put into and cleaned."""


@contextmanager
def layout(request: pytest.FixtureRequest) -> Iterator[Both]:
    yield LayoutStore(request.getfixturevalue("tmp_path") / "images")


@contextmanager
def memory(request: pytest.FixtureRequest) -> Iterator[Both]:
    yield MemoryStore()


FACTORIES: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[Both]]] = {"memory": memory, "layout": layout}
MARKS: dict[str, pytest.MarkDecorator] = {}
DATED = ("memory", "layout")
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


def image(store: Both, text: str, *tags: str, subject: str = "") -> str:
    """`subject`: the digest of an image that is here."""
    config, layer = put(store, b"{}", CONFIG), put(store, text.encode())
    raw = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config.to_json(), "layers": [layer.to_json()]}
    if subject:
        found = store.get_manifest(subject)
        assert found is not None
        raw["subject"] = Descriptor(MANIFEST, subject, len(found.data)).to_json()
    return store.put_manifest(canonical_json(raw), MANIFEST, tags)


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
    assert store.referrers(one) == ()
    signatures = sorted(image(store, text, subject=one) for text in ("signature", "sbom"))
    assert store.referrers(one) == tuple(signatures)
    assert store.referrers(two) == ()
    list(store.remove([signatures[0]]))
    assert store.referrers(one) == (signatures[1],)


def test_shared_layers_stay(store: Both) -> None:
    one = image(store, "same", "a")
    two = image(store, "same", "b", subject=one)
    assert dict(store.remove([one])) == {one: REMOVED}
    assert held(store) == {two: ("b",)}
    store.sweep(dry=False)
    assert b"".join(store.open_blob(sha256(b"same"))) == b"same"
