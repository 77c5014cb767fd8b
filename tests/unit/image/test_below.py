"""An image of what lies below the code: the same for all commits that share it, and made of layers that are there."""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest

from builder.image.below import put_below_code
from builder.model.annotations import KIND
from builder.model.oci import CONFIG, LAYER_GZIP, MANIFEST, Descriptor, Manifest, canonical_json, sha256
from builder.stores.dry import DryRun
from tests.fixtures.memory_store import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def blob(store: MemoryStore, data: bytes, media_type: str = LAYER_GZIP, kind: str = "") -> Descriptor:
    descriptor = Descriptor(media_type, sha256(data), len(data))
    store.put_blob(descriptor, lambda: BytesIO(data))
    return replace(descriptor, annotations={KIND: kind}) if kind else descriptor


def image(store: MemoryStore, code: str, *kinds: str) -> Manifest:
    layers = [blob(store, f"{kind} {index}".encode(), kind=kind) for index, kind in enumerate(kinds)]
    layers.append(blob(store, code.encode(), kind="code"))
    diff_ids = [sha256(layer.digest.encode()) for layer in layers]
    inner = {"Env": [f"BUILDER_COMMIT={code}"]}
    config = {"architecture": "amd64", "os": "linux", "config": inner, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    return Manifest(blob(store, canonical_json(config), CONFIG), tuple(layers))


def test_two_commits_have_the_same_below(store: MemoryStore) -> None:
    first = put_below_code(store, image(store, "one", "base", "deps", "tool"))
    assert put_below_code(store, image(store, "two", "base", "deps", "tool")) == first
    assert put_below_code(store, image(store, "two", "base", "tool")) != first


def test_it_holds_the_layers_below_the_code_and_nothing_of_the_commit(store: MemoryStore) -> None:
    commit = image(store, "one", "base", "deps", "tool")
    reference = put_below_code(store, commit)
    stored = store.get_manifest(reference.partition("@")[2])
    assert stored is not None
    assert stored.media_type == MANIFEST
    made = Manifest.from_bytes(stored.data)
    assert made.layers == commit.layers[:3]
    config: dict[str, Any] = json.loads(b"".join(store.open_blob(made.config.digest)))
    assert config["rootfs"]["diff_ids"] == [sha256(layer.digest.encode()) for layer in made.layers]
    assert len(config["history"]) == 3
    assert (config["architecture"], config["os"], config["config"]) == ("amd64", "linux", {})


def test_without_a_base_nothing_can_sleep(store: MemoryStore) -> None:
    assert put_below_code(store, image(store, "one", "deps")) == ""
    assert store.list_tags() == ()


def test_a_dry_run_writes_nothing(store: MemoryStore) -> None:
    commit = image(store, "one", "base")
    reference = put_below_code(DryRun(store), commit)
    assert store.get_manifest(reference.partition("@")[2]) is None
    assert put_below_code(store, commit) == reference
