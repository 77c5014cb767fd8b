"""The law of clean-up in random worlds: nothing that is needed ever goes, all else does, and who does not answer stops it."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, note
from hypothesis import settings as examples
from hypothesis import strategies as st

from builder.collect import slurm_side
from builder.collect.images import Collector
from builder.collect.things import REMOVED, Done
from builder.errors import BuilderError, DataError, StoreError, UnansweredError
from tests.fixtures import worlds
from tests.fixtures.repositories import an_empty_repository, at_nobodys_home  # noqa: F401 - fixtures
from tests.fixtures.worlds import FakeBastion, Histories, World

_MANY = 600 if os.environ.get("BUILDER_TEST_MINUTES") else 30
steady = examples(max_examples=_MANY, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
pytestmark = pytest.mark.timeout(1200)
seeds = st.integers(0, 2**32)
CHANGING = ("squeue", "remote", "ledger", "workflows", "pods", "jobsets", "cronworkflows", "statefulsets")
LASTING = ("frozen", "green", "bundles", "gc")
_numbers = itertools.count()


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Histories]:
    made = worlds.make_histories(tmp_path_factory.mktemp("histories"))
    with made.git:
        yield made


@pytest.fixture(autouse=True)
def no_bastions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(slurm_side, "Bastion", FakeBastion)
    monkeypatch.setattr(slurm_side, "survey", worlds.survey)
    yield


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path


def make(seed: int, places: Path, histories: Histories) -> World:
    directory = places / str(next(_numbers))
    return worlds.build(Random(seed), directory, histories)


def collect(world: World) -> list[Done]:
    """Once, as the command does."""
    world.scene.__dict__.pop("needs", None)
    collector = Collector(world.scene)
    going = [verdict for verdict in collector.plan() if verdict.goes]
    return list(collector.remove(going)) if going else []


@steady
@given(seed=seeds)
def test_what_is_needed_stays_and_all_else_goes(seed: int, places: Path, histories: Histories) -> None:
    world = make(seed, places, histories)
    needed, had = world.needed(), set(world.store.manifests)
    done = collect(world)
    assert needed <= set(world.store.manifests)
    assert set(world.store.manifests) == needed & had
    assert {one.verdict.thing.name for one in done if one.became == REMOVED} == had - needed
    world.ages = dict.fromkeys(world.ages, 40 * worlds.DAY)  # what was noted now counts from now
    assert collect(world) == []


@steady
@given(seed=seeds, data=st.data())
def test_a_source_that_does_not_answer_stops_it(seed: int, data: st.DataObject, places: Path, histories: Histories) -> None:
    world = make(seed, places, histories)
    had = dict(world.store.manifests)
    sources = (
        "squeue",
        "remote",
        "ledger",
        "frozen",
        "green",
        "bundles",
        "gc",
        "workflows",
        "pods",
        "jobsets",
        "cronworkflows",
        "statefulsets",
    )
    source = data.draw(st.sampled_from(sources))
    later = data.draw(st.booleans()) and source not in ("frozen", "green", "bundles", "gc")
    note(f"{source} {later}")
    collector = Collector(world.scene)
    if not later:
        with broken(world, source), pytest.raises(BuilderError) as error:
            collector.plan()
        assert source == "gc" or isinstance(error.value, UnansweredError)
    else:
        going = [verdict for verdict in collector.plan() if verdict.goes]
        with broken(world, source):
            if going:
                with pytest.raises(UnansweredError):
                    list(collector.remove(going))
    assert world.store.manifests == had


class broken:
    """While in it the source does not answer."""

    def __init__(self, world: World, source: str) -> None:
        self._world, self._source = world, source

    def __enter__(self) -> None:
        if self._source == "remote":
            self._world.remote.rename(self._world.remote.with_name("away"))
        else:
            self._world.faults[self._source] = DataError(f"{self._source} cannot be read")

    def __exit__(self, *_: object) -> None:
        if self._source == "remote":
            self._world.remote.with_name("away").rename(self._world.remote)
        self._world.faults.clear()


@steady
@given(seed=seeds, at=st.integers(0, 6))
@example(seed=68082878, at=1)  # something attached to what is attached
def test_killed_anywhere_the_store_is_whole_and_the_next_time_goes_on(seed: int, at: int, places: Path, histories: Histories) -> None:
    world = make(seed, places, histories)
    needed, remove = world.needed(), world.store.remove

    def dies(digests: object) -> Iterator[tuple[str, str]]:
        yield from itertools.islice(remove(digests), at)  # type: ignore[arg-type]
        raise StoreError("the power is gone")

    world.store.remove = dies  # type: ignore[method-assign, assignment]
    with contextlib.suppress(StoreError):
        collect(world)
    there = set(world.store.manifests)
    assert needed <= there
    for one in map(world.made.get, there):
        assert one is not None
        assert one.names <= there | {name for name in one.names if name not in world.made}
        assert not one.subject or one.subject in there
    world.store.remove = remove  # type: ignore[method-assign]
    collect(world)
    assert needed <= set(world.store.manifests)


@steady
@given(seed=seeds)
def test_what_comes_to_be_needed_meanwhile_stays(seed: int, places: Path, histories: Histories) -> None:
    world = make(seed, places, histories)
    collector = Collector(world.scene)
    going = [verdict for verdict in collector.plan() if verdict.goes]
    images = [world.made[verdict.thing.name] for verdict in going if verdict.thing.kind == "image"]
    if not images:
        return
    worlds._run(world, "finetune-meanwhile", images[0], "running", 0)
    world.roots.add(images[0].digest)
    world.commits.add(images[0].commit)
    list(collector.remove(going))
    assert world.needed() <= set(world.store.manifests)
