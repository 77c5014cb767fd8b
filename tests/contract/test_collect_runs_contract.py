"""Runs are removed from a data root, whatever is behind it: whole, or not at all, also when that is broken off anywhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.collect import runs
from builder.collect.run_facts import green_runs, read_runs
from builder.data import ledger_cache
from builder.data.interface import Objects
from builder.data.ledger import RUN, Ledger
from builder.errors import DataError
from builder.launch.jobset.manifest import name_of
from builder.runs.cleared import mark_used
from builder.steps.freeze import owner_key
from tests.fixtures.collecting import DAY, collected, scene_of
from tests.fixtures.records import clock, submit_run, write_run
from tests.fixtures.roots import KINDS, Recording, made_root

LATER = time.time() + 60 * DAY
"""When everything of now is old: no server lets one write into the past."""


@pytest.fixture(params=KINDS)
def root(request: pytest.FixtureRequest) -> Iterator[Objects]:
    with made_root(request.param, request) as made:
        yield made


@pytest.fixture(autouse=True)
def _later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "clock", lambda _: LATER)


def whole_run(objects: Objects, run: str, **more: Any) -> set[str]:
    """Everything that a run leaves anywhere; the keys."""
    before = {found.key for found in objects.list()}
    write_run(objects, run, **more)
    passed = f"{clock(60)}-{run}"
    document = f'{{"run": "{run}", "commit": "{"a" * 40}", "reference": "r@sha256:{"a" * 64}"}}'.encode()
    for key in (
        f"runs/{run}/request.json",
        f"runs/{run}/report.md",
        f"runs/{run}/finetune/log",
        f"runs/{run}/children/step-1.json",
        f"external/{run}/click/request.json",
        f"notify/{run}.json",
        f"notify/{run}/finetune-running",
        f"identities/{'b' * 32}/{passed}",
        f"jobs/{name_of(run, 'finetune', 1)}/job.json",
    ):
        objects.put(key, document)
    return {found.key for found in objects.list()} - before


def collector(root: Objects, path: Path, **more: Any) -> runs.Collector:
    return runs.Collector(scene_of(root, path, now=LATER, **more))


def test_a_run_goes_with_everything_and_no_other_does(root: Objects, tmp_path: Path) -> None:
    whole_run(root, "run-1")
    stays = {key for name in ("run-10", "un-1", "run-1-b") for key in whole_run(root, name)}
    for name in ("run-10", "un-1", "run-1-b"):
        root.put(owner_key("sha256:" + "c" * 64, name), b"{}")
    frozen = {found.key for found in root.list("frozen/")}
    planned = {verdict.thing.name: verdict for verdict in collector(root, tmp_path).plan()}
    assert {name for name, verdict in planned.items() if verdict.goes} == {"run-1"}
    assert planned["run-1"].thing.size
    assert collected(collector(root, tmp_path)) == {"run-1": "removed"}
    assert {found.key for found in root.list()} == stays | frozen
    assert collected(collector(root, tmp_path)) == {}


def test_broken_off_anywhere_a_run_is_whole_or_absent_and_the_next_one_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from builder.data.directory import DirectoryObjects

    monkeypatch.setattr(ledger_cache, "_SETTLED", -5)
    states = set()
    for number, after in ((number, after) for number in range(1, 200) for after in (False, True)):
        root = DirectoryObjects(tmp_path / f"{number}-{after}")
        for name in ("run-1", "run-2"):
            whole_run(root, name)
        keys, whole = {found.key for found in root.list()}, Ledger(root).read("run-1")
        cache = tmp_path / f"cache-{number}-{after}"
        list(Ledger(root, cache).runs())
        broken = Recording(root, number, after=after)
        again = runs.Collector(scene_of(broken, tmp_path, now=LATER, ledger=Ledger(broken, cache)))
        try:
            collected(again)
        except DataError:
            pass
        else:
            break  # there was no such call any more
        for name in ("run-1", "run-2"):
            seen = [Ledger(root).read(name), {entry.run: entry.records for entry in Ledger(root).runs()}.get(name, {})]
            seen.append({entry.run: entry.records for entry in Ledger(root, cache).runs()}.get(name, {}))
            assert all(one == seen[0] for one in seen)
            there = {found.key for found in root.list()}
            if seen[0]:
                assert all(key in there for key in keys if name in key), "it is whole"
                assert len(seen[0]) == len(whole)
            states.add(bool(seen[0]))
        assert set(collected(collector(root, tmp_path)).values()) <= {"removed", "gone"}
        assert [found.key for found in root.list()] == [], (number, after)
    assert states == {True, False}


def test_who_goes_on_with_a_run_keeps_it(root: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the law would let it go: it is looked at once more when nobody finds it any longer."""
    whole_run(root, "run-1")
    going = [verdict for verdict in collector(root, tmp_path).plan() if verdict.goes]
    mark_used(root, "run-1", "ada")
    before = {found.key for found in root.list()}
    monkeypatch.setattr(runs, "clock", lambda _: time.time() + 3600)
    assert [one.became for one in collector(root, tmp_path).remove(going)] == ["used"]
    assert {found.key for found in root.list()} == before
    assert Ledger(root).read("run-1")


def test_what_runs_leave_to_each_other_goes_together(root: Objects, tmp_path: Path) -> None:
    whole_run(root, "first")
    whole_run(root, "again", origin={"retried": "first"})
    whole_run(root, "child", origin={"parent": "again"})
    whole_run(root, "alone")
    submit_run(root, "open")
    root.put(owner_key("sha256:" + "c" * 64, "child"), b"{}")
    assert collected(collector(root, tmp_path)) == {"alone": "removed"}
    assert {run.name for run in read_runs(root, Ledger(root)).runs} == {"first", "again", "child", "open"}


def test_the_last_green_runs_and_nightlies_stay(root: Objects, tmp_path: Path) -> None:
    for number in range(4):
        whole_run(root, f"run-{number}", at=number * 100)
        schedule = "nightly" if number == 0 else ""
        passed = f'{{"run": "run-{number}", "commit": "{"a" * 40}", "reference": "", "schedule": "{schedule}"}}'
        root.put(f"green/finetune/{clock(number * 100)}-run-{number}", passed.encode())
    assert set(green_runs(root, 1)) == {"run-0", "run-3"}
    assert collected(collector(root, tmp_path, keep_last=1)) == {"run-1": "removed", "run-2": "removed"}
    assert sorted(found.key.rpartition("Z-")[2] for found in root.list("green/")) == ["run-0", "run-3"]


def test_a_record_that_cannot_be_read_keeps_everything(root: Objects, tmp_path: Path) -> None:
    whole_run(root, "run-1")
    root.put("ledger/run-2/run.json", b"{")
    with pytest.raises(DataError, match=r"ledger/run-2/run\.json cannot be read"):
        collector(root, tmp_path).plan()
    assert Ledger(root).read("run-1")


def test_what_lies_there_for_no_run(root: Objects, tmp_path: Path) -> None:
    root.put("runs/stray/finetune/log", b"12345")
    root.put("external/stray/click/told.json", b"{}")
    root.put("ledger/notes.txt", b"")
    root.put("ledger/junk/deep/er.json", b"")
    root.put("runs/junk/finetune/log", b"")
    (verdict,) = collector(root, tmp_path).plan()
    assert (verdict.thing.name, verdict.thing.size, verdict.goes) == ("stray", 7, True)
    assert collected(collector(root, tmp_path)) == {"stray": "removed"}
    assert len(list(root.list())) == 3
    young = runs.Collector(scene_of(root, tmp_path))
    root.put("runs/coming/request.json", b"{}")
    assert not any(verdict.goes for verdict in young.plan())


def test_many_runs_in_few_requests(root: Objects, tmp_path: Path) -> None:
    for number in range(70):
        Ledger(root).write(f"run-{number}", RUN, {"state": "failed", "ended": clock(0), "flow": "finetune"})
    asked = Recording(root)
    assert set(collected(collector(asked, tmp_path)).values()) == {"removed"}
    assert list(root.list()) == []
    assert asked.calls.count("delete") <= 12
