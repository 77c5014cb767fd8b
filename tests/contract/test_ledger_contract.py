"""The ledger, in every kind of data root."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builder.data import ledger_cache
from builder.data.interface import Objects
from builder.data.ledger import EXIT, RUN, SCHEMA, Ledger, LedgerError
from tests.fixtures.roots import KINDS, Recording, made_root

ENDED = {"state": "succeeded", "ended": "2024-05-01T08:00:00Z"}


@pytest.fixture(params=KINDS)
def root(request: pytest.FixtureRequest) -> Iterator[Objects]:
    with made_root(request.param, request) as made:
        yield made


def test_a_record_is_read_as_it_was_written(root: Objects) -> None:
    ledger = Ledger(root)
    ledger.write("run-1", "train", {"state": "running", "loss": None, "subject": "Größer"})
    ledger.write("run-1", RUN, {"state": "running"})
    ledger.write("run-10", RUN, {"state": "running"})
    ledger.write("run-1", "train", {"state": "succeeded"})
    assert ledger.read("run-1") == {
        "run": {"schema": SCHEMA, "run": "run-1", "step": "run", "state": "running"},
        "train": {"schema": SCHEMA, "run": "run-1", "step": "train", "state": "succeeded"},
    }
    assert ledger.read("run") == ledger.read("nothing") == {}
    assert sorted(found.key for found in root.list()) == ["ledger/run-1/run.json", "ledger/run-1/train.json", "ledger/run-10/run.json"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\nb", "x" * 256])
def test_names_that_are_none(root: Objects, name: str) -> None:
    for call in (lambda: Ledger(root).write(name, "a", {}), lambda: Ledger(root).write("a", name, {}), lambda: Ledger(root).read(name)):
        with pytest.raises(LedgerError, match="cannot be the name"):
            call()


def test_runs_come_as_they_changed_last_first(root: Objects) -> None:
    ledger = Ledger(root)
    for number in (3, 1, 2):
        ledger.write(f"run-{number}", RUN, {"number": number})
        time.sleep(1.05)  # S3 tells times in whole seconds
    ledger.write("run-3", "late", {})
    assert [entry.run for entry in ledger.runs()] == ["run-3", "run-2", "run-1"]
    assert [entry.run for entry in ledger.runs(2)] == ["run-3", "run-2"]
    first = next(ledger.runs())
    assert sorted(first.records) == ["late", "run"]
    assert abs(first.modified - time.time()) < 5


def test_an_empty_ledger(root: Objects) -> None:
    assert list(Ledger(root).runs()) == []


DAMAGED = {
    "half": b'{"schema": 1, "run"',
    "no JSON": b"\xff\x00",
    "no object": b"[1]",
    "deep": b"[" * 100_000,
    "of another run": json.dumps({"schema": 1, "run": "other", "step": "train"}).encode(),
    "of another schema": json.dumps({"schema": 2, "run": "run-1", "step": "train"}).encode(),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_record_is_left_out_of_a_list_and_refused_by_name(
    root: Objects, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_cache, "_SETTLED", -5)
    ledger, warned = Ledger(root, tmp_path / "cache"), []
    ledger.write("run-1", RUN, ENDED)
    ledger.write("run-2", RUN, ENDED)
    root.put("ledger/run-1/train.json", data)
    root.put("ledger/run-3/train.json", data)
    for _ in range(2):
        warned.clear()
        found = {entry.run: sorted(entry.records) for entry in ledger.runs(warn=warned.append)}
        assert found == {"run-1": ["run"], "run-2": ["run"]}
        assert sorted(line.partition(" ")[0] for line in warned) == [root.url(f"ledger/run-{run}/train.json") for run in (1, 3)]
    with pytest.raises(LedgerError, match=r"ledger/run-1/train\.json cannot be read") as caught:
        ledger.read("run-1")
    assert caught.value.hint


def test_what_is_none_of_ours_does_not_count(root: Objects) -> None:
    Ledger(root).write("run-1", RUN, {})
    for key in ("ledger/notes.txt", "ledger/run-1/notes.txt", "ledger/run-1/deep/er.json", "ledger-2/run-2/run.json"):
        root.put(key, b"{}")
    assert [(entry.run, sorted(entry.records)) for entry in Ledger(root).runs(warn=pytest.fail)] == [("run-1", ["run"])]
    assert sorted(Ledger(root).read("run-1")) == ["run"]


def test_only_as_many_runs_are_read_as_are_asked_for(root: Objects) -> None:
    for number in range(70):
        Ledger(root).write(f"run-{number}", RUN, {})
    asked = Recording(root)
    assert len(list(itertools.islice(Ledger(asked).runs(), 3))) == 3
    assert asked.calls.count("get") == 64
    asked = Recording(root)
    assert len(list(Ledger(asked).runs(limit=3))) == 3
    assert asked.calls.count("get") == 3
    assert len(list(Ledger(root).runs())) == 70


def test_ended_runs_are_read_once(root: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_cache, "_SETTLED", -5)
    ledger = Ledger(root)
    for run, state in (("ended", ENDED), ("open", {"state": "running"})):
        ledger.write(run, "train", {"state": "succeeded"})
        ledger.write(run, RUN, state)
    ledger.write("steps-only", "train", ENDED)
    ledger.write("on-argo", "train", ENDED)
    ledger.write("on-argo", EXIT, ENDED)

    def read() -> tuple[list[str], dict[str, object]]:
        asked = Recording(root)
        found = {entry.run: entry.records for entry in Ledger(asked, tmp_path / "cache").runs()}
        return sorted(call for call in asked.calls if call == "get"), found

    gets, found = read()
    assert len(gets) == 7
    assert read() == (["get"] * 3, found), "of the two that are not known to be over"
    assert Ledger(Recording(root, 2), tmp_path / "cache").read("ended") == found["ended"]  # type: ignore[comparison-overlap]
    time.sleep(1.05)
    ledger.write("ended", RUN, {**ENDED, "state": "stopped"})  # not what should be, but seen all the same
    gets, found = read()
    assert len(gets) == 5
    assert found["ended"]["run"]["state"] == "stopped"  # type: ignore[index]


def test_runs_that_ended_a_while_ago_are_not_looked_at(root: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_cache, "_SETTLED", -5)
    monkeypatch.setattr(ledger_cache, "_SURE", -5)
    for number in range(20):
        Ledger(root).write(f"ended-{number}", "train", {"state": "succeeded"})
        Ledger(root).write(f"ended-{number}", RUN, ENDED)
    Ledger(root).write("open", RUN, {"state": "running"})

    def read() -> tuple[dict[str, int], list[object]]:
        asked = Recording(root)
        found = list(Ledger(asked, tmp_path / "cache").runs())
        return {verb: asked.calls.count(verb) for verb in asked.calls}, found

    first, found = read()
    assert (first["get"], len(found)) == (41, 21)
    assert read() == ({"folders": 1, "list": 1, "get": 1}, found)
    Ledger(root).write("new", RUN, {"state": "starting"})
    root.delete(["ledger/ended-0/run.json", "ledger/ended-0/train.json"])
    again, later = read()
    assert again == {"folders": 1, "list": 2, "get": 2}
    assert {entry.run for entry in later} == {"new", "open", *(f"ended-{number}" for number in range(1, 20))}
    monkeypatch.setattr("builder.data.ledger._LISTED_ALONE", 1)
    assert sorted(read()[0]) == ["folders", "get", "list"]
    assert read()[0]["list"] == 1


def test_what_changed_a_moment_ago_is_not_cached(root: Objects, tmp_path: Path) -> None:
    """S3 tells times in whole seconds: it may change again within the same one, and be as long as before."""
    Ledger(root).write("run-1", RUN, ENDED)
    list(Ledger(root, tmp_path / "cache").runs())
    assert list(tmp_path.glob("cache/**/*.json")) == []


def test_a_cache_that_is_broken_is_as_good_as_none(root: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_cache, "_SETTLED", -5)
    Ledger(root).write("run-1", RUN, ENDED)
    before = Ledger(root).read("run-1")
    ledger = Ledger(root, tmp_path / "cache")
    list(ledger.runs())
    (kept,) = (tmp_path / "cache").glob("**/*.json")
    for damage in (b"", b"[]", b"\xff", b'{"listed": []}'):
        kept.write_bytes(damage)
        assert ledger.read("run-1") == before
    (tmp_path / "file").touch()
    assert [entry.run for entry in Ledger(root, tmp_path / "file").runs()] == ["run-1"]


def test_many_write_at_once(root: Objects) -> None:
    def write(number: int) -> None:
        for state in ("running", "succeeded"):
            Ledger(root).write("run-1", f"evaluate-{number}", {"state": state, "pid": os.getpid()})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(24)))
    found = Ledger(root).read("run-1")
    assert len(found) == 24
    assert {record["state"] for record in found.values()} == {"succeeded"}


def test_a_run_that_is_withdrawn_is_not_known_until_it_is_restored(root: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_cache, "_SETTLED", -5)
    monkeypatch.setattr(ledger_cache, "_SURE", -5)
    ledger = Ledger(root, tmp_path / "cache")
    for run in ("stays", "goes"):
        ledger.write(run, RUN, ENDED)
        ledger.write(run, "gone", ENDED)  # a step of somebody's flow
    whole = {entry.run: entry.records for entry in ledger.runs()}
    ledger.withdraw("goes")
    for again in (ledger, Ledger(root), Ledger(root, tmp_path / "cache")):
        assert [entry.run for entry in again.runs(warn=pytest.fail)] == ["stays"]
        assert again.read("goes") == {}
        assert again.read("stays") == whole["stays"]
    ledger.restore("goes")
    assert {entry.run: entry.records for entry in Ledger(root, tmp_path / "cache").runs()} == whole
