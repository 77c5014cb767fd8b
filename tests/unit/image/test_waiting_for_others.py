"""The image's job waits for a base and dependencies that another job brings, and only for those."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from builder.cache import Cache
from builder.cli import wiring
from builder.errors import SettingsError
from builder.image import elsewhere
from builder.image.base import Base, load_base
from builder.image.deps import Artifacts
from builder.image.deps.dockerfile import DockerfileRecipe
from builder.image.deps.resolve import LockRecipe
from builder.model.annotations import DIFF_ID, KIND
from builder.model.oci import Descriptor, Manifest
from builder.model.progress import Advance, Unit
from builder.settings import CiSettings, Settings
from builder.stores.interface import Store
from tests.fixtures.images import put, put_base, tar
from tests.fixtures.memory_store import MemoryStore

RECIPE = DockerfileRecipe("key", "Dockerfile", b"", (), {}, "", "linux/amd64")


class Told:
    """Progress that remembers what is waited for."""

    def __init__(self) -> None:
        self.titles: list[str] = []

    @contextmanager
    def task(self, title: str, total: int | None = None, unit: Unit = "items") -> Iterator[Advance]:
        self.titles.append(title)
        yield lambda _: None


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "_EVERY", 0.01)


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """It is in a registry that is not the store's."""
    origin = MemoryStore("origin/base")
    digest = put_base(origin, tar({"usr/lib/base": b"1"}))
    return load_base(f"origin.test/base@{digest}", [origin], Cache(tmp_path))


def a_while_later(do: Callable[[], object]) -> threading.Thread:
    def later() -> None:
        time.sleep(0.2)
        do()

    thread = threading.Thread(target=later)
    thread.start()
    return thread


def dependencies(store: Store) -> None:
    """What the other job's last request is: it tags them."""
    layer, config = put(store, b"layer"), put(store, b"{}")
    manifest = Manifest(config, (Descriptor(layer.media_type, layer.digest, layer.size, {KIND: "deps", DIFF_ID: layer.digest}),))
    Artifacts(store).adopt(RECIPE.tag, "deps", manifest)


def soon() -> float:
    return time.monotonic() + 60


def test_a_base_is_waited_for(base: Base) -> None:
    store, told = MemoryStore("memory/store"), Told()
    thread = a_while_later(lambda: put_base(store, tar({"usr/lib/base": b"1"})))
    elsewhere.wait_for_base(store, base, soon(), told)
    assert store.get_manifest(base.digest) is not None
    thread.join()
    assert len(told.titles) == 1
    assert base.digest[7:19] in told.titles[0]


def test_dependencies_are_waited_for() -> None:
    store, told = MemoryStore(), Told()
    thread = a_while_later(lambda: dependencies(store))
    elsewhere.wait_for_deps(RECIPE, Artifacts(store), soon(), told)
    assert RECIPE.tag in store.tags
    thread.join()
    assert told.titles == ["deps-key from Dockerfile is not there yet: waiting for the job that brings it, seconds"]


def test_what_is_there_is_not_waited_for(base: Base) -> None:
    store, told = MemoryStore(), Told()
    put_base(store, tar({"usr/lib/base": b"1"}))
    dependencies(store)
    elsewhere.wait_for_base(store, base, soon(), told)
    elsewhere.wait_for_deps(RECIPE, Artifacts(store), soon(), told)
    assert told.titles == []


def test_a_lock_and_nothing_at_all_are_not_waited_for() -> None:
    told = Told()
    for recipe in (LockRecipe("key", (), "3.11", "linux/amd64"), None):
        elsewhere.wait_for_deps(recipe, Artifacts(MemoryStore()), soon(), told)
    assert told.titles == []


def test_when_its_time_is_up_whoever_needs_it_says_so(base: Base) -> None:
    store = MemoryStore()
    elsewhere.wait_for_base(store, base, time.monotonic() + 0.05, Told())
    elsewhere.wait_for_deps(RECIPE, Artifacts(store), time.monotonic() + 0.05, Told())
    assert store.tags == {}


def test_the_setting_says_how_long() -> None:
    def until(wait: str) -> float:
        settings = replace(Settings(), ci=CiSettings(wait=wait))
        return wiring.workshop(MemoryStore(), "", settings, lambda _: None).until

    assert until("") == 0.0
    assert 3590 < until("60m") - time.monotonic() <= 3600
    with pytest.raises(SettingsError, match="BUILDER_CI_WAIT: expected a duration"):
        until("soon")
