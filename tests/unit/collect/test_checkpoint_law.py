"""Which checkpoints and files go: worlds are made up, as objects of a data root, and what is needed is said here in other words."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from builder.collect import checkpoints
from builder.collect.checkpoint_facts import digests_in
from builder.data.checkpoint_manifest import Item, Manifest
from builder.data.checkpoints import blob_key, checkpoint_key
from builder.data.interface import Found
from builder.data.keys import check_key
from builder.data.turns import COMING, TURN
from builder.model.oci import sha256
from tests.fixtures.collecting import DAY, removed, scene_of

NOW = 1_714_600_000.0
steady = examples(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Memory:
    """A data root in memory, in which everything has the age that one says."""

    name = "memory"

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.deletes: list[int] = []

    def url(self, key: str) -> str:
        return f"memory/{key}"

    def get(self, key: str) -> bytes | None:
        return self.objects[key][0] if key in self.objects else None

    def find(self, key: str) -> Found | None:
        return self._found(key) if key in self.objects else None

    def _found(self, key: str) -> Found:
        data, modified = self.objects[key]
        return Found(key, len(data), modified)

    def put(self, key: str, data: bytes, *, new: bool = False, modified: float = NOW) -> bool:
        if new and key in self.objects:
            return False
        self.objects[check_key(key)] = data, modified
        return True

    def list(self, prefix: str = "") -> Iterator[Found]:
        return (self._found(key) for key in sorted(self.objects) if key.startswith(prefix))

    def folders(self, prefix: str = "") -> Iterator[str]:
        names = (key.removeprefix(prefix) for key in self.objects if key.startswith(prefix))
        return iter(sorted({name.partition("/")[0] for name in names if "/" in name}))

    def delete(self, keys: Iterable[str]) -> None:
        gone = list(keys)
        self.deletes.append(len(gone))
        for key in gone:
            self.objects.pop(key, None)


@dataclass(frozen=True, slots=True)
class World:
    """Each checkpoint as its files (numbers), and its age in days; files by their ages; what is frozen, recorded, announced, made anew."""

    checkpoints: tuple[tuple[frozenset[int], float], ...]
    files: tuple[float, ...]
    frozen: frozenset[int]
    recorded: frozenset[int]
    announced: frozenset[int]
    again: frozenset[int]
    blobs: frozenset[int]
    days: int


numbers = st.frozensets(st.integers(0, 5), max_size=3)
ages = st.sampled_from([0.0, 0.05, 0.2, 5.0, 40.0, 40.0, 40.0])
worlds = st.builds(
    World,
    st.lists(st.tuples(st.frozensets(st.integers(0, 7), min_size=1, max_size=4), ages), max_size=6, unique_by=lambda one: one[0]).map(
        tuple
    ),
    st.lists(ages, min_size=8, max_size=8).map(tuple),
    numbers,
    numbers,
    numbers,
    numbers,
    st.frozensets(st.integers(0, 7), max_size=2),
    st.sampled_from([0, 30]),
)


def content(number: int) -> bytes:
    return b"x" * (number + 1)


def hexed(number: int) -> str:
    return hashlib.sha256(content(number)).hexdigest()


def manifest(files: Iterable[int]) -> bytes:
    return Manifest.of(Item(f"file-{number}", number + 1, hexed(number)) for number in files).to_bytes()


def built(world: World) -> tuple[Memory, list[str]]:
    root, names = Memory(), []
    for number, age in enumerate(world.files):
        root.put(blob_key(hexed(number)), content(number), modified=NOW - age * DAY)
    for number, (files, age) in enumerate(world.checkpoints):
        digest = sha256(manifest(files))
        names.append(digest)
        root.put(checkpoint_key(digest), manifest(files), modified=NOW - age * DAY)
        if number in world.frozen:
            root.put(f"frozen/{digest[7:]}/run-{number}", b"{}", modified=0)
        if number in world.recorded:
            record = f'{{"schema": 1, "run": "run-{number}", "step": "finetune", "result": {{"checkpoint": "{digest}"}}}}'
            root.put(f"ledger/run-{number}/finetune.json", record.encode(), modified=0)
        if number in world.announced:
            root.put(f"{COMING}/{number}", digest.encode() + b"\n" + manifest(files), modified=NOW - DAY)
        if number in world.again:
            root.put(f"gc/made/{digest[7:]}", b"")
    for number in world.blobs:
        root.put(f"jobs/gang-{number}/job.json", f'{{"files": {{"x": {{"blob": "{hexed(number)}"}}}}}}'.encode(), modified=0)
    return root, names


@steady
@given(worlds)
def test_exactly_what_nothing_reaches_goes(world: World) -> None:
    root, names = built(world)
    limit = max(2 / 24, world.days)
    stay, reached = set(), set(world.blobs)
    for number, (files, age) in enumerate(world.checkpoints):
        if age < limit or number in world.frozen | world.recorded | world.announced | world.again:
            stay.add(names[number])
            reached |= files
    had = sum(len(data) for key, (data, _) in root.objects.items() if key.startswith("blobs/"))
    scene = scene_of(root, Path("/nowhere"), now=NOW, keep_days=world.days)  # type: ignore[arg-type]
    collector = checkpoints.Collector(scene)
    planned = sum(verdict.thing.size or 0 for verdict in collector.plan() if verdict.goes)
    done = removed(collector)
    assert {f"sha256:{key[12:-5]}" for key in root.objects if key.startswith("checkpoints/")} == stay
    left = {number for number in range(len(world.files)) if blob_key(hexed(number)) in root.objects}
    assert left == reached | {number for number, age in enumerate(world.files) if age < limit}
    freed = had - sum(len(data) for key, (data, _) in root.objects.items() if key.startswith("blobs/"))
    assert planned == freed
    assert collector.freed(done) == (freed if done else 0)
    assert TURN not in root.objects
    assert not any(verdict.goes for verdict in checkpoints.Collector(scene).plan())


def test_whatever_looks_like_a_digest_counts() -> None:
    one, other = "a" * 64, "0123456789abcdef" * 4
    assert list(digests_in(f'{{"x": "sha256:{one}", "{other}": 1, "long": "{one}a", "short": "{one[1:]}"}}'.encode())) == [one, other]


class Many(Memory):
    """So many old files that nothing names, which are not there before somebody asks."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count, self.gone = count, 0

    def list(self, prefix: str = "") -> Iterator[Found]:
        if not prefix.startswith("blobs/sha256/"):
            return super().list(prefix)
        folder = prefix.split("/")[2]
        return (Found(f"{prefix}{folder}{number:062x}", 10, 0.0) for number in range(self.count // 256))

    def folders(self, prefix: str = "") -> Iterator[str]:
        return (f"{number:02x}" for number in range(256)) if prefix == "blobs/sha256/" else super().folders(prefix)

    def delete(self, keys: Iterable[str]) -> None:
        batch = list(keys)
        self.gone += sum(key.startswith("blobs/") for key in batch)
        super().delete(batch)


def test_many_files_take_little_memory_and_few_requests() -> None:
    root = Many(51_200)
    scene = scene_of(root, Path("/nowhere"), now=NOW)  # type: ignore[arg-type]
    collector = checkpoints.Collector(scene)
    tracemalloc.start()
    try:
        (done,) = removed(collector)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (done.became, done.verdict.thing.name, root.gone) == ("removed", "51200 files", 51_200)
    assert collector.freed([done]) == 512_000
    assert peak < 4 << 20
    assert max(root.deletes) <= 1000
    assert len(root.deletes) < 60
