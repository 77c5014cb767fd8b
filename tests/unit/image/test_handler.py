"""The image that looks after the end of runs: the commit's, without the commit."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest

from builder.errors import UsageError
from builder.image.assemble import image_config, image_manifest
from builder.image.base import Base
from builder.image.handler import environment_image, handler_image
from builder.model.oci import LAYER_GZIP, Descriptor, Manifest, sha256
from builder.model.tree import Commit
from builder.settings import ImageSettings
from tests.fixtures.memory_store import MemoryStore

SETTINGS = ImageSettings(base="registry.example/pytorch@sha256:" + "1" * 64)


def layer(text: str, kind: str = "") -> Descriptor:
    data = text.encode()
    known = {"dev.builder.kind": kind, "dev.builder.title": text, "dev.builder.diffid": sha256(b"plain " + data)}
    return Descriptor(LAYER_GZIP, sha256(data), len(data), known if kind else {})


def put(store: MemoryStore, descriptor: Descriptor, data: bytes) -> None:
    store.put_blob(descriptor, lambda: BytesIO(data))


def commit_image(store: MemoryStore, sha: str, date: int, code: str) -> Manifest:
    """Of a base with two layers and a history that counts more lines, and one layer each of deps, tool and code."""
    below = (layer("b1"), layer("b2"))
    lines = [{"created_by": "RUN a"}, {"created_by": "ENV b", "empty_layer": True}, {"created_by": "RUN c"}]
    base = Base(
        SETTINGS.base,
        "sha256:" + "1" * 64,
        below,
        (sha256(b"d1"), sha256(b"d2")),
        {"os": "linux", "architecture": "amd64", "config": {}, "history": lines},
    )
    added = (layer("deps", "deps"), layer("tool", "tool"), layer(code, "code"))
    commit = Commit(sha * 40, "cd" * 20, (), date, "Ada Example", "Change it")
    config = image_config(base, {"Env": ["PATH=/usr/bin", "LANG=C"], "Labels": {"maintainer": "x"}}, commit, SETTINGS, added)
    manifest = image_manifest(base, config, added, commit, SETTINGS, {})
    for descriptor in (*below, *added):
        text = descriptor.annotations.get("dev.builder.title") or {sha256(b"b1"): "b1", sha256(b"b2"): "b2"}[descriptor.digest]
        put(store, descriptor, text.encode())
    put(store, manifest.config, config)
    return manifest


def stored(store: MemoryStore, digest: str) -> tuple[Manifest, dict[str, Any]]:
    found = store.get_manifest(digest)
    assert found is not None
    manifest = Manifest.from_bytes(found.data)
    return manifest, json.loads(b"".join(store.open_blob(manifest.config.digest)))


def test_it_is_the_same_for_every_commit() -> None:
    store = MemoryStore()
    first = handler_image(store, commit_image(store, "a", 1_700_000_000, "code 1"))
    assert handler_image(store, commit_image(store, "b", 1_800_000_000, "code 2")) == first
    assert list(store.tags) == [f"handler-{first[7:39]}"]


def test_the_environment_is_base_and_dependencies() -> None:
    store = MemoryStore()
    image = commit_image(store, "a", 1_700_000_000, "code 1")
    digest = environment_image(store, image)
    assert environment_image(store, commit_image(store, "b", 1_800_000_000, "code 2")) == digest
    manifest, config = stored(store, digest)
    assert manifest.layers == image.layers[:-2]
    assert len(config["rootfs"]["diff_ids"]) == 3
    assert sum(not line.get("empty_layer") for line in config["history"]) == 3
    assert f"environment-{digest[7:39]}" in store.tags
    with pytest.raises(UsageError, match="no environment for a container"):
        environment_image(store, Manifest(image.config, image.layers[-1:]))


def test_it_holds_everything_but_the_code() -> None:
    store = MemoryStore()
    image = commit_image(store, "a", 1_700_000_000, "code")
    manifest, config = stored(store, handler_image(store, image))
    assert manifest.layers == image.layers[:-1]
    assert config["rootfs"]["diff_ids"] == [sha256(b"d1"), sha256(b"d2"), sha256(b"plain deps"), sha256(b"plain tool")]
    assert sum(not line.get("empty_layer") for line in config["history"]) == len(manifest.layers)
    assert [line["created_by"] for line in config["history"]][-2:] == ["builder: deps deps", "builder: tool tool"]
    assert "PATH=/usr/bin" in config["config"]["Env"]
    assert config["config"]["Labels"] == {"maintainer": "x"}
    assert "a" * 40 not in json.dumps(config) + manifest.to_bytes().decode()


def test_it_is_made_once() -> None:
    store = MemoryStore()
    image = commit_image(store, "a", 1_700_000_000, "code")
    handler_image(store, image)
    store.put_manifest = None  # type: ignore[method-assign, assignment]  # whoever calls it now fails
    handler_image(store, image)
