"""Reading a base: by digest, out of an index, in Docker's format, damaged, for another platform."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from builder.cache import Cache
from builder.errors import IntegrityError, StoreError, UsageError
from builder.image.base import Base, load_base, require_base, resolve, split_reference
from builder.model.oci import (
    CONFIG,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    LAYER_GZIP,
    MANIFEST,
    Descriptor,
    Manifest,
    canonical_json,
    sha256,
)
from builder.stores.layout import LayoutStore

DIGEST = "sha256:" + "a" * 64


def put(store: LayoutStore, data: bytes, media_type: str) -> Descriptor:
    blob = Descriptor(media_type, sha256(data), len(data))
    store.put_blob(blob, lambda: io.BytesIO(data))
    return blob


def config_of(layers: tuple[bytes, ...], architecture: str = "amd64", env: tuple[str, ...] = ()) -> bytes:
    diff_ids = [sha256(b"plain " + layer) for layer in layers]
    return canonical_json(
        {"os": "linux", "architecture": architecture, "config": {"Env": list(env)}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    )


def put_image(store: LayoutStore, *layers: bytes, architecture: str = "amd64", env: tuple[str, ...] = (), tag: str = "") -> Descriptor:
    config = put(store, config_of(layers, architecture, env), CONFIG)
    data = Manifest(config, tuple(put(store, layer, LAYER_GZIP) for layer in layers)).to_bytes()
    return Descriptor(MANIFEST, store.put_manifest(data, MANIFEST, (tag,) if tag else ()), len(data))


def read(store: LayoutStore, digest: str, tmp_path: Path, **more: Any) -> Base:
    return load_base(f"{store.name}@{digest}", (store,), Cache(tmp_path / "cache"), **more)


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    return LayoutStore(tmp_path / "images")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("nvcr.io/nvidia/pytorch:24.05-py3", ("nvcr.io/nvidia/pytorch", "24.05-py3")),
        (f"localhost:5000/a/b@{DIGEST}", ("localhost:5000/a/b", DIGEST)),
        (f"localhost:5000/a/b:tag@{DIGEST}", ("localhost:5000/a/b", DIGEST)),
        ("python:3.11", ("docker.io/library/python", "3.11")),
        ("pytorch/pytorch", ("docker.io/pytorch/pytorch", "latest")),
        (f"oci:some/dir@{DIGEST}", ("oci:some/dir", DIGEST)),
        ("oci:some/dir:tag", ("oci:some/dir", "tag")),
        ("oci:some:odd/dir", ("oci:some:odd/dir", "")),
    ],
)
def test_a_reference_is_a_store_and_a_name(text: str, parts: tuple[str, str]) -> None:
    assert split_reference(text) == parts


def test_a_base_needs_a_digest(store: LayoutStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_base("nvcr.io/nvidia/pytorch:24.05-py3", (store,), Cache(tmp_path))
    assert "builder base pin nvcr.io/nvidia/pytorch:24.05-py3" in caught.value.hint
    with pytest.raises(UsageError):
        load_base("oci:dir@sha256:../../x", (store,), Cache(tmp_path))


def test_scratch_is_empty(store: LayoutStore, tmp_path: Path) -> None:
    base = load_base("scratch", (store,), Cache(tmp_path), "linux/arm64/v8")
    assert (base.layers, base.diff_ids, base.digest, base.size) == ((), (), "", 0)
    assert base.config == {"os": "linux", "architecture": "arm64", "variant": "v8"}
    require_base(base, store)


def test_a_base_by_digest(store: LayoutStore, tmp_path: Path) -> None:
    made = put_image(store, b"one", b"two!", env=("PATH=/bin", "PYTHON_VERSION=3.11.9"))
    base = read(store, made.digest, tmp_path)
    assert (base.digest, base.size, base.python) == (made.digest, 7, "3.11")
    assert [layer.digest for layer in base.layers] == [sha256(b"one"), sha256(b"two!")]
    assert base.diff_ids == (sha256(b"plain one"), sha256(b"plain two!"))
    assert base.tag == f"base-{made.digest[7:19]}"


def test_the_second_time_nothing_is_asked(store: LayoutStore, tmp_path: Path) -> None:
    made = put_image(store, b"one")
    first = read(store, made.digest, tmp_path)
    nothing = LayoutStore(tmp_path / "nothing")
    assert load_base(first.reference, (nothing,), Cache(tmp_path / "cache")) == first


def test_settings_say_python_when_the_base_does_not(store: LayoutStore, tmp_path: Path) -> None:
    silent, talking = put_image(store, b"one"), put_image(store, b"one", env=("PYVER=3.12",))
    assert read(store, silent.digest, tmp_path).python == ""
    assert read(store, silent.digest, tmp_path, python="3.10").python == "3.10"
    assert read(store, talking.digest, tmp_path, python="3.10").python == "3.12"


@pytest.mark.parametrize("media_type", [INDEX, DOCKER_INDEX])
def test_an_index_is_asked_for_the_platform(store: LayoutStore, tmp_path: Path, media_type: str) -> None:
    entries: list[dict[str, Any]] = [
        {"mediaType": MANIFEST, "digest": DIGEST, "size": 1, "platform": {"os": "unknown", "architecture": "unknown"}},
        {**put_image(store, b"arm", architecture="arm64").to_json(), "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
        {**put_image(store, b"amd").to_json(), "platform": {"os": "linux", "architecture": "amd64"}},
    ]
    index = store.put_manifest(canonical_json({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}), media_type)
    base = read(store, index, tmp_path)
    assert base.digest == entries[2]["digest"]
    assert base.reference == f"{store.name}@{base.digest}"
    assert read(store, index, tmp_path, platform="linux/arm64").digest == entries[1]["digest"]
    with pytest.raises(StoreError, match="no image for linux/s390x") as caught:
        read(store, index, tmp_path, platform="linux/s390x")
    assert "linux/arm64/v8, linux/amd64" in caught.value.hint


def test_an_index_of_nothing(store: LayoutStore, tmp_path: Path) -> None:
    for manifests in ([], [{"digest": DIGEST}], [{"digest": DIGEST, "platform": {}}]):
        index = store.put_manifest(canonical_json({"manifests": manifests, "n": len(manifests)}), INDEX)
        with pytest.raises(StoreError, match="no image for linux/amd64"):
            read(store, index, tmp_path)
    for broken in ([7], [{"platform": "linux"}]):
        index = store.put_manifest(canonical_json({"manifests": broken}), INDEX)
        with pytest.raises(IntegrityError):
            read(store, index, tmp_path)


def test_a_docker_image_becomes_oci(store: LayoutStore, tmp_path: Path) -> None:
    config = put(store, config_of((b"one",)), CONFIG)
    layer = put(store, b"one", LAYER_GZIP)
    docker = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {**config.to_json(), "mediaType": "application/vnd.docker.container.image.v1+json"},
        "layers": [{**layer.to_json(), "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"}],
    }
    digest = store.put_manifest(json.dumps(docker).encode(), DOCKER_MANIFEST)
    base = read(store, digest, tmp_path)
    assert base.layers == (layer,)
    assert base.digest == digest


def test_another_platform_is_refused(store: LayoutStore, tmp_path: Path) -> None:
    made = put_image(store, b"arm", architecture="arm64")
    with pytest.raises(StoreError, match="linux/arm64, not linux/amd64"):
        read(store, made.digest, tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"rootfs":7}',
        b'{"rootfs":{"diff_ids":[]}}',
        b'{"rootfs":{"diff_ids":["sha256:x"]}}',
        b'{"rootfs":{"diff_ids":[1]}}',
    ],
)
def test_a_damaged_config(store: LayoutStore, tmp_path: Path, config: bytes) -> None:
    data = Manifest(put(store, config, CONFIG), (put(store, b"one", LAYER_GZIP),)).to_bytes()
    digest = store.put_manifest(data, MANIFEST)
    with pytest.raises(IntegrityError, match=digest):
        read(store, digest, tmp_path)


def test_a_base_that_is_not_there(store: LayoutStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=DIGEST):
        read(store, DIGEST, tmp_path)


def test_a_store_that_lacks_the_base(store: LayoutStore, tmp_path: Path) -> None:
    base = read(store, put_image(store, b"one" * 1_000_000, b"two").digest, tmp_path)
    require_base(base, store)
    other = LayoutStore(tmp_path / "other")
    put(other, b"two", LAYER_GZIP)
    with pytest.raises(StoreError, match=r"1 of its 2 layers, 3\.0 MB") as caught:
        require_base(base, other)
    assert "builder base mirror" in caught.value.hint
    put(other, b"one" * 1_000_000, LAYER_GZIP)
    require_base(base, other)


def test_a_mirrored_base_is_read_from_where_commits_go(store: LayoutStore, tmp_path: Path) -> None:
    made = put_image(store, b"one")
    nothing = LayoutStore(tmp_path / "nothing")
    for number, stores in enumerate(((store, nothing), (nothing, store))):
        base = load_base(f"registry.test/base@{made.digest}", stores, Cache(tmp_path / f"cache{number}"))
        assert base.reference == f"registry.test/base@{made.digest}"


def test_a_layout_of_one_image_needs_no_name(store: LayoutStore, tmp_path: Path) -> None:
    made = put_image(store, b"one", tag="only")
    cache = Cache(tmp_path / "cache")
    for text in (store.name, f"{store.name}:only", f"{store.name}@{made.digest}"):
        assert resolve(text, store, cache).digest == made.digest
    put_image(store, b"two")
    with pytest.raises(UsageError, match="holds 2 images"):
        resolve(store.name, store, cache)
    with pytest.raises(StoreError, match="has no absent"):
        resolve(f"{store.name}:absent", store, cache)
