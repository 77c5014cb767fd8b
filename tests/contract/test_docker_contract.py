"""The Docker store over a fake engine and, where there is one, a real one."""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from docker.errors import DockerException

from builder.errors import BlobUnknownError, StoreError, TagConflictError
from builder.model.oci import CONFIG, LAYER_GZIP, MANIFEST, Descriptor, Manifest, canonical_json, sha256
from builder.stores.daemon import DaemonStore
from tests.fixtures.fake_docker import FakeDocker
from tests.fixtures.images import put, tar


@dataclass
class Engine:
    """A daemon, a spool, and a repository of this test's own in it."""

    client: Any
    spool: Path
    repository: str

    def store(self) -> DaemonStore:
        """As another process would open it."""
        return DaemonStore(self.spool, self.repository, lambda: self.client)

    def remove(self, tag: str) -> None:
        name = f"{self.repository}:{tag}"
        if isinstance(self.client, FakeDocker):
            self.client.remove(name)
        else:
            self.client.remove_image(name)


@pytest.fixture(params=["fake", "fake containerd", pytest.param("engine", marks=pytest.mark.docker)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "engine":
        from docker import DockerClient

        client: Any = DockerClient(base_url=request.getfixturevalue("docker_host"), version="auto").api
    else:
        client = FakeDocker(containerd="containerd" in request.param)
    made = Engine(client, tmp_path / "spool", f"builder-{uuid.uuid4().hex[:8]}")
    yield made
    for named in made.client.images(name=made.repository):
        for name in named["RepoTags"]:
            made.remove(name.rpartition(":")[2])
    if request.param == "engine":
        client.close()


def image(store: DaemonStore, *texts: str, base: bool = False, annotations: dict[str, str] | None = None) -> bytes:
    """A layer for each text; with `base` on a base whose layer is not sent. An engine has no layer of them from another test."""
    tars = [tar({f"code/{place}": f"{text} of {store._repository}".encode()}) for place, text in enumerate(texts)]
    layers = [replace(put(store, gzip.compress(one, 1, mtime=0)), annotations={"dev.builder.kind": "code"}) for one in tars]
    if base:
        base_tar = base_of(store)
        data = gzip.compress(base_tar, 1, mtime=0)
        layers = [Descriptor(LAYER_GZIP, sha256(data), len(data), {"dev.builder.kind": "base"}), *layers]
        tars = [base_tar, *tars]
    config = canonical_json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/x"]},
            "rootfs": {"type": "layers", "diff_ids": [sha256(one) for one in tars]},
        }
    )
    return Manifest(put(store, config, CONFIG), tuple(layers), annotations or {}).to_bytes()


def base_of(store: DaemonStore) -> bytes:
    return tar({"etc/base": f"the base of {store._repository}".encode()})


def put_base(engine: Engine) -> None:
    """What `docker pull` does."""
    store = engine.store()
    config = canonical_json(
        {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [sha256(base_of(store))]}}
    )
    elsewhere = DaemonStore(engine.spool.parent / "elsewhere", engine.repository, lambda: engine.client)
    layer = put(elsewhere, gzip.compress(base_of(store), 1, mtime=0))
    elsewhere.put_manifest(Manifest(put(elsewhere, config, CONFIG), (layer,)).to_bytes(), MANIFEST, ("pulled",))
    assert not store.has_blob(layer.digest)


def test_an_image_is_there_under_its_tags(engine: Engine) -> None:
    store = engine.store()
    data = image(store, "one", "two")
    digest = store.put_manifest(data, MANIFEST, ("sha-key", "sha"))
    assert digest == sha256(data)
    image_id = engine.client.inspect_image(f"{engine.repository}:sha")["Id"]
    assert store.reference(digest) == image_id
    for other in (store, engine.store()):
        for ref in ("sha", "sha-key", digest):
            found = other.get_manifest(ref)
            assert found is not None
            assert (found.data, found.digest) == (data, digest)
        assert other.reference(digest) == image_id
    assert store.list_tags() == ("sha", "sha-key")


def test_what_the_daemon_lost_is_not_there(engine: Engine) -> None:
    store = engine.store()
    data = image(store, "one")
    store.put_manifest(data, MANIFEST, ("sha",))
    engine.remove("sha")
    assert store.get_manifest("sha") is None
    store.put_manifest(data, MANIFEST, ("sha",))
    assert store.get_manifest("sha") is not None


def test_a_tag_that_was_lost_may_name_another_image(engine: Engine) -> None:
    store = engine.store()
    store.put_manifest(image(store, "one"), MANIFEST, ("sha",))
    engine.remove("sha")
    other = store.put_manifest(image(store, "two"), MANIFEST, ("sha",))
    found = store.get_manifest("sha")
    assert found is not None
    assert found.digest == other


def test_a_spool_that_was_lost_is_made_again(engine: Engine) -> None:
    store = engine.store()
    digest = store.put_manifest(image(store, "one"), MANIFEST, ("sha",))
    fresh = DaemonStore(engine.spool.parent / "new", engine.repository, lambda: engine.client)
    assert fresh.get_manifest("sha") is None
    assert fresh.put_manifest(image(fresh, "one"), MANIFEST, ("sha",)) == digest
    assert fresh.get_manifest("sha") is not None


def test_a_tag_never_moves(engine: Engine) -> None:
    store = engine.store()
    first = store.put_manifest(image(store, "one"), MANIFEST, ("sha",))
    with pytest.raises(TagConflictError, match="sha"):
        store.put_manifest(image(store, "two"), MANIFEST, ("sha", "sha-key"))
    found, other = store.get_manifest("sha"), store.get_manifest("sha-key")
    assert found is not None
    assert found.digest == first
    assert other is not None


def test_the_base_stays_where_it_is(engine: Engine) -> None:
    put_base(engine)
    store = engine.store()
    digest = store.put_manifest(image(store, "one", base=True), MANIFEST, ("sha",))
    assert store.reference(digest) == engine.client.inspect_image(f"{engine.repository}:sha")["Id"]


def test_a_base_that_is_not_there_is_named(engine: Engine) -> None:
    store = engine.store()
    names = {"org.opencontainers.image.base.name": "registry.test/base", "org.opencontainers.image.base.digest": "sha256:abc"}
    with pytest.raises(StoreError, match=r"lacks registry\.test/base@sha256:abc") as caught:
        store.put_manifest(image(store, "one", base=True, annotations=names), MANIFEST, ("sha",))
    assert "docker pull registry.test/base@sha256:abc" in caught.value.hint
    assert store.get_manifest("sha") is None
    assert store.list_tags() == ()


def test_a_layer_that_is_not_what_the_config_says_is_refused(engine: Engine) -> None:
    store = engine.store()
    manifest = Manifest.from_bytes(image(store, "one"))
    wrong = put(store, gzip.compress(tar({"code/0": b"two"}), 1, mtime=0))
    with pytest.raises(StoreError, match="did not take the image"):
        store.put_manifest(Manifest(manifest.config, (wrong,)).to_bytes(), MANIFEST, ("sha",))


def test_a_code_layer_must_be_there(engine: Engine) -> None:
    store = engine.store()
    manifest = Manifest.from_bytes(image(store, "one"))
    absent = Descriptor(LAYER_GZIP, sha256(b"absent"), 6, {"dev.builder.kind": "code"})
    with pytest.raises(BlobUnknownError):
        store.put_manifest(Manifest(manifest.config, (absent,)).to_bytes(), MANIFEST, ("sha",))


def test_parts_of_images_are_not_loaded(engine: Engine) -> None:
    store = engine.store()
    digest = store.put_manifest(image(store, "one"), MANIFEST, ("deps-0123",))
    found = store.get_manifest("deps-0123")
    assert found is not None
    assert found.digest == digest
    assert engine.client.images(name=engine.repository) == []


def test_an_image_that_is_there_only_gets_its_name(engine: Engine) -> None:
    store = engine.store()
    data = image(store, "one")
    store.put_manifest(data, MANIFEST, ("sha",))
    store.put_manifest(data, MANIFEST, ("sha-key",))
    assert store.list_tags() == ("sha", "sha-key")


def test_only_layers_above_the_ancestors_are_sent(tmp_path: Path) -> None:
    client = FakeDocker()
    engine = Engine(client, tmp_path / "spool", "builder")
    store = engine.store()
    store.put_manifest(image(store, "one", "two", "three"), MANIFEST, ("first",))
    later = engine.store()
    later.get_manifest("first")
    later.put_manifest(image(later, "one", "two", "changed"), MANIFEST, ("second",))
    assert [len(blobs) for blobs in client.loaded] == [2 + 3, 2 + 1]


def test_layers_that_were_pruned_meanwhile_are_sent_after_all(tmp_path: Path) -> None:
    client = FakeDocker()
    engine = Engine(client, tmp_path / "spool", "builder")
    store = engine.store()
    store.put_manifest(image(store, "one", "two", "three"), MANIFEST, ("first",))
    data = image(store, "one", "two", "changed")
    client.remove("builder:first")
    store.put_manifest(data, MANIFEST, ("second",))
    assert [len(blobs) for blobs in client.loaded] == [5, 3, 5]
    assert store.get_manifest("second") is not None


def test_an_engine_with_containerd_names_images_by_manifest(tmp_path: Path) -> None:
    client = FakeDocker(containerd=True)
    store = DaemonStore(tmp_path, "builder", lambda: client)
    digest = store.put_manifest(image(store, "one"), MANIFEST, ("sha",))
    assert store.reference(digest) == digest


def test_no_daemon_is_a_plain_error(tmp_path: Path) -> None:
    def connect() -> None:
        raise DockerException("Error while fetching server API version: Connection refused")

    store = DaemonStore(tmp_path / "spool", connect=connect)
    with pytest.raises(StoreError, match="cannot talk to the Docker daemon") as caught:
        store.get_manifest("sha")
    assert "DOCKER_HOST" in caught.value.hint
