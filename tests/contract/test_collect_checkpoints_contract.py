"""Checkpoints and their files are removed from a data root, whatever is behind it; and whoever freezes meanwhile loses nothing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from builder.collect import checkpoints
from builder.data import turns
from builder.data.checkpoints import blob_key, check, checkpoint_key, freeze, put_blob
from builder.data.directory import DirectoryObjects
from builder.data.interface import Objects
from builder.data.ledger import RUN, Ledger
from builder.data.turns import Turn
from builder.errors import BuilderError, DataError, IntegrityError
from builder.steps.freeze import owner_key
from tests.fixtures.collecting import DAY, collected, grow_old, removed, scene_of
from tests.fixtures.roots import KINDS, Recording, made_root

LATER = time.time() + 60 * DAY
"""When everything of now is old: no server lets one write into the past."""


@pytest.fixture(params=KINDS)
def root(request: pytest.FixtureRequest) -> Iterator[Objects]:
    with made_root(request.param, request) as made:
        yield made


class LaterTurn(Turn):
    def take(self) -> None:
        super().take()
        self.now = LATER


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "Turn", LaterTurn)


def frozen(root: Objects, path: Path, **files: str) -> str:
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text)
    return freeze(root, path).digest


def collector(root: Objects, path: Path) -> checkpoints.Collector:
    return checkpoints.Collector(scene_of(root, path, now=LATER))


@pytest.mark.usefixtures("later")
def test_what_nothing_names_goes_and_what_is_shared_stays(root: Objects, tmp_path: Path) -> None:
    kept = [
        frozen(root, tmp_path / "owned", one="owned", common="common"),
        frozen(root, tmp_path / "recorded", one="recorded"),
        frozen(root, tmp_path / "asked", one="asked"),
        frozen(root, tmp_path / "sent", one="sent"),
        frozen(root, tmp_path / "initial", one="initial"),
    ]
    gone = frozen(root, tmp_path / "first", one="12345", both="1234567", common="common")
    also = frozen(root, tmp_path / "second", two="123", both="1234567")
    root.put(owner_key(kept[0], "run-0"), b"{}")
    Ledger(root).write("run-1", "finetune", {"state": "failed", "result": {"checkpoint": kept[1]}})
    root.put("external/run-2/click/request.json", json.dumps({"samples": {"digest": kept[2]}}).encode())
    root.put("jobs/run-3-finetune-a1/outputs.json", json.dumps({"x": {"checkpoint": kept[3]}}).encode())
    root.put("runs/run-4/request.json", json.dumps({"initial": kept[4]}).encode())
    blob = put_blob(root, b"metrics")
    root.put("jobs/run-3-finetune-a1/job.json", json.dumps({"files": {"x": {"blob": blob}}}).encode())
    loose = put_blob(root, b"loose")
    before = {found.key: found.size for found in root.list()}
    plan = {verdict.thing.name: verdict for verdict in collector(root, tmp_path).plan()}
    assert {name for name, verdict in plan.items() if verdict.goes} == {gone, also, "1 files"}
    assert [plan[name].thing.size for name in ("1 files",)] == [5]
    assert sum(plan[name].thing.size or 0 for name in (gone, also)) == 5 + 7 + 3, "shared once, and not what stays"
    assert {found.key: found.size for found in root.list()} == before
    once = collector(root, tmp_path)
    done = removed(once)
    assert {one.verdict.thing.name: one.became for one in done} == dict.fromkeys((gone, also, "1 files"), "removed")
    assert once.freed(done) == 5 + 5 + 7 + 3
    left = {found.key for found in root.list()}
    assert before.keys() - left >= {checkpoint_key(gone), checkpoint_key(also), blob_key(loose)}
    for digest in kept:
        check(root, digest)
    assert blob_key(blob) in left
    assert collected(collector(root, tmp_path)) == {}


def test_what_is_younger_than_two_hours_stays(root: Objects, tmp_path: Path) -> None:
    frozen(root, tmp_path / "one", one="1")
    put_blob(root, b"loose")
    before = {found.key for found in root.list()}
    scene = scene_of(root, tmp_path, keep_days=0)
    assert not any(verdict.goes for verdict in checkpoints.Collector(scene).plan())
    planned = collector(root, tmp_path)  # with a clock that is wrong
    assert {one.became for one in removed(planned)} == {"used", "removed"}
    assert {found.key for found in root.list()} == before


@pytest.mark.usefixtures("later")
def test_a_checkpoint_that_cannot_be_read_keeps_all_files(root: Objects, tmp_path: Path) -> None:
    digest = frozen(root, tmp_path / "one", one="1")
    root.put(owner_key(digest, "run-1"), b"{}")
    root.put(checkpoint_key(digest), b"{}")
    with pytest.raises(IntegrityError, match="does not hash to its name"):
        collector(root, tmp_path).plan()
    Ledger(root).write("run-1", RUN, {"state": "failed"})
    root.put("ledger/run-1/run.json", b"{")
    with pytest.raises(DataError, match="cannot be read"):
        collector(root, tmp_path).plan()


@pytest.mark.usefixtures("later")
def test_broken_off_anywhere_what_stays_is_whole(tmp_path: Path) -> None:
    for number in range(1, 1000):
        root = DirectoryObjects(tmp_path / f"root-{number}")
        keeps = frozen(root, tmp_path / f"keeps-{number}", one="1", common="common")
        frozen(root, tmp_path / f"goes-{number}", two="2", common="common")
        root.put(owner_key(keeps, "run-1"), b"{}")
        broken = Recording(root, number)
        try:
            collected(checkpoints.Collector(scene_of(broken, tmp_path, now=LATER)))
        except BuilderError:
            pass
        else:
            break
        check(root, keeps)
        for found in root.list("checkpoints/"):
            check(root, f"sha256:{found.key[12:-5]}")
        root.delete([turns.TURN])  # else one would have to wait
        collected(collector(root, tmp_path))
        assert sorted(found.key.partition("/")[0] for found in root.list()) == ["blobs", "blobs", "checkpoints", "frozen"]
    else:
        pytest.fail("it never ended")


class Between:
    """Does something before one of the calls that somebody makes."""

    def __init__(self, inner: Objects, number: int, what: Callable[[], object]) -> None:
        self._inner, self._number, self._what, self.calls = inner, number, what, 0
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._inner, name)
        if name in ("name", "url"):
            return real

        def call(*args: Any, **options: Any) -> Any:
            with self._lock:
                self.calls += 1
                mine = self.calls == self._number
            if mine:
                self._what()
            return real(*args, **options)

        return call


def interleaved(tmp_path: Path, number: int, *, known: bool) -> tuple[DirectoryObjects, Path, Path]:
    """A root with an old file, or a whole old checkpoint, that nothing names; and what would be frozen there."""
    root = DirectoryObjects(tmp_path / f"root-{number}-{known}")
    whole = tmp_path / f"whole-{number}-{known}"
    whole.mkdir()
    for name in ("a", "b", "c"):
        (whole / name).write_text(name * 9)
    if known:
        freeze(root, whole)
    else:
        put_blob(root, b"a" * 9)
    grow_old(root, 60)
    return root, whole, tmp_path / "nowhere"


def collect_old(root: Objects, path: Path) -> None:
    collected(checkpoints.Collector(scene_of(root, path)))


def begun(writer: threading.Thread, met: set[bool]) -> None:
    """Lets it go on until it ends, or waits."""
    writer.start()
    writer.join(0.2)
    met.add(writer.is_alive())


@pytest.mark.parametrize("known", [False, True])
def test_who_freezes_while_somebody_collects_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    """The freezing begins before each of the collector's calls, and goes on beside it."""
    monkeypatch.setattr(turns, "_LOOK_EVERY", 0.01)
    met = set()
    for number in range(1, 1000):
        root, whole, _ = interleaved(tmp_path, number, known=known)
        writer = threading.Thread(target=freeze, args=(root, whole))
        between = Between(root, number, partial(begun, writer, met))
        collected(checkpoints.Collector(scene_of(between, tmp_path)))  # type: ignore[arg-type]
        if between.calls < number:
            break
        writer.join(60)
        (manifest,) = list(root.list("checkpoints/"))
        check(root, f"sha256:{manifest.key[12:-5]}")
    assert met == {True, False}, "some had to wait"


@pytest.mark.parametrize("known", [False, True])
def test_who_collects_while_somebody_freezes_takes_nothing_of_it(tmp_path: Path, known: bool) -> None:
    """The whole collection happens before each of the writer's calls; what it froze is whole, and stays until somebody names it."""
    for number in range(1, 1000):
        root, whole, nowhere = interleaved(tmp_path, number, known=known)
        between = Between(root, number, partial(collect_old, root, nowhere))
        digest = freeze(between, whole).digest  # type: ignore[arg-type]
        check(root, digest)
        collect_old(root, nowhere)
        check(root, digest)
        if between.calls < number:
            break
    else:
        pytest.fail("it never ended")
