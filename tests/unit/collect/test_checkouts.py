"""Directories of runs on this machine, and bundles: what a run that goes on, a process or a run of the ledger needs stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from builder.collect import checkouts, local_runs
from builder.collect.checkout_law import World, rule_bundle, rule_directory
from builder.collect.local_runs import Directory
from builder.collect.needs import BUNDLES, JOBS, TIPS, Needs
from builder.errors import DataError
from tests.fixtures.collecting import DAY, collected, grow_old, removed, scene_of
from tests.fixtures.records import root, submit_run, write_run

NOW = 1_714_600_000.0
NAMES = ["run-1", "run-2", ".gone-1"]


@examples(max_examples=300, deadline=None)
@given(
    st.sampled_from(NAMES),
    st.floats(0, 90 * DAY),
    st.sampled_from([2 / 24, 1, 30]),
    st.frozensets(st.sampled_from(NAMES)),
    st.frozensets(st.sampled_from(NAMES)),
)
def test_nothing_in_use_ever_goes(name: str, idle: float, days: float, open_runs: frozenset[str], used: frozenset[str]) -> None:
    world = World(NOW, NOW - days * DAY, open_runs, dict.fromkeys(used, "process 1"), dict.fromkeys(used, "run-1 is of it"))
    leftover = name.startswith(".")
    ruling = rule_directory(world, Directory(Path(name), NOW - idle, 0, leftover))
    assert ruling.why
    old = idle >= days * DAY or (leftover and idle >= 7200)
    assert ruling.goes == (name not in open_runs | used and old)
    assert rule_bundle(world, name, NOW - idle).goes == (name not in used and idle >= days * DAY)


def checkout(path: Path, run: str, days: float) -> Path:
    directory = path / ".builder/runs" / run
    (directory / "code/deep").mkdir(parents=True)
    (directory / "code/deep/train.py").write_bytes(b"x" * 5000)
    (directory / "flow.log").write_text("log")
    age(directory, days)
    return directory


def age(directory: Path, days: float) -> None:
    then = time.time() - days * DAY
    for found in (*directory.rglob("*"), directory):
        os.utime(found, (then, then), follow_symlinks=False)


def collector(path: Path, **more: object) -> checkouts.Collector:
    return checkouts.Collector(scene_of(root(path), path, **more))  # type: ignore[arg-type]


def test_what_lies_on_this_machine(tmp_path: Path) -> None:
    ended, unknown, young, going = (checkout(tmp_path, run, 1 if run == "young" else 60) for run in ("ended", "unknown", "young", "going"))
    write_run(root(tmp_path), "ended")
    submit_run(root(tmp_path), "going")
    (tmp_path / ".builder/runs/link").symlink_to(tmp_path)
    once = collector(tmp_path)
    plan = {verdict.thing.name: verdict for verdict in once.plan()}
    assert {name for name, verdict in plan.items() if verdict.goes} == {"ended", "unknown"}
    assert plan["going"].why == "the ledger has no end of going"
    done = removed(once)
    assert sorted((one.verdict.thing.name, one.became) for one in done) == [("ended", "removed"), ("unknown", "removed")]
    assert once.freed(done) >= 2 * 5000
    assert (ended.exists(), unknown.exists(), young.exists(), going.exists()) == (False, False, True, True)
    assert sorted(path.name for path in (tmp_path / ".builder/runs").iterdir()) == ["going", "link", "young"]
    assert collected(collector(tmp_path)) == {}


def test_what_a_process_works_in_stays(tmp_path: Path) -> None:
    works, named = checkout(tmp_path, "works", 60), checkout(tmp_path, "named", 60)
    inside = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], cwd=works / "code", stdin=subprocess.PIPE)
    outside = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()", str(named / "code")], stdin=subprocess.PIPE)
    try:
        plan = {verdict.thing.name: verdict for verdict in collector(tmp_path).plan()}
        assert not any(verdict.goes for verdict in plan.values())
        assert plan["works"].why.startswith(f"process {inside.pid} ")
        assert plan["named"].why.startswith(f"process {outside.pid} ")
    finally:
        for child in (inside, outside):
            child.communicate()
    assert set(collected(collector(tmp_path))) == {"works", "named"}


def test_what_is_used_meanwhile_stays(tmp_path: Path) -> None:
    directory = checkout(tmp_path, "ended", 60)
    once = collector(tmp_path)
    going = [verdict for verdict in once.plan() if verdict.goes]
    (directory / "code/new").touch()
    assert [one.became for one in once.remove(going)] == ["used"]
    age(directory, 60)
    submit_run(root(tmp_path), "ended")
    assert [one.became for one in once.remove(going)] == ["used"]
    assert (directory / "flow.log").exists()


def test_a_removal_that_was_broken_off_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout(tmp_path, "ended", 60)

    def refuse(path: Path) -> None:
        raise OSError(5, "Input/output error", str(path / "code"))

    monkeypatch.setattr(local_runs, "_remove_all", refuse)
    (done,) = removed(collector(tmp_path))
    assert (done.became, done.error.endswith("code cannot be removed: Input/output error")) == ("failed", True)
    monkeypatch.undo()
    (left,) = (tmp_path / ".builder/runs").iterdir()
    assert left.name.startswith(".gone-")
    age(left, 1)
    assert set(collected(collector(tmp_path)).values()) == {"removed"}
    assert list((tmp_path / ".builder/runs").iterdir()) == []


def test_bytes_are_those_that_it_alone_has(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    (one / "own").write_bytes(b"x" * 8192)
    bare = local_runs.measure(one)[1]
    (one / "twice").write_bytes(b"x" * 8192)
    os.link(one / "twice", one / "again")
    assert local_runs.measure(one)[1] == bare + 8192
    os.link(one / "twice", other / "elsewhere")
    assert local_runs.measure(one)[1] == bare


def test_directories_that_nobody_may_write_to_go_too(tmp_path: Path) -> None:
    directory = checkout(tmp_path, "ended", 60)
    (directory / "code/deep").chmod(0o555)
    assert local_runs.remove(directory)
    assert not local_runs.remove(directory)
    assert list((tmp_path / ".builder/runs").iterdir()) == []


def test_bundles(tmp_path: Path) -> None:
    shas = {name: name[0] * 40 for name in ("abandoned", "because", "cluster", "dated", "early")}
    needs = Needs()
    needs.commit(shas["cluster"], JOBS, "job 7 of run-9 runs in Slurm")
    needs.commit(shas["abandoned"], BUNDLES, "its bundle is in the data root")
    needs.commit(shas["dated"], TIPS, "branch x of origin")
    for sha in shas.values():
        root(tmp_path).put(f"bundles/{sha}", b"bundle")
    write_run(root(tmp_path), "run-1", commit=shas["because"])
    grow_old(root(tmp_path), 60)
    root(tmp_path).put(f"bundles/{shas['early']}", b"bundle")
    once = collector(tmp_path, needs=needs)
    assert {verdict.thing.name for verdict in once.plan() if verdict.goes} == {shas["abandoned"], shas["dated"]}
    going = [verdict for verdict in once.plan() if verdict.goes]
    write_run(root(tmp_path), "run-2", commit=shas["dated"])
    assert [one.became for one in once.remove(going)] == ["removed", "used"]
    assert sorted(found.key[8] for found in root(tmp_path).list("bundles/")) == ["b", "c", "d", "e"]


def test_a_ledger_that_cannot_be_read_keeps_everything(tmp_path: Path) -> None:
    directory = checkout(tmp_path, "ended", 60)
    root(tmp_path).put("ledger/run-1/run.json", b"{")
    with pytest.raises(DataError, match="cannot be read"):
        collector(tmp_path).plan()
    assert directory.exists()
