"""Logs of old runs go, the runs stay, and whoever looks for a log is told when it went."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from builder.collect import logs
from builder.data.ledger import Ledger
from builder.errors import DataError
from builder.runs.cleared import when_cleared
from tests.fixtures.collecting import collected, grow_old, removed, scene_of
from tests.fixtures.records import root, submit_run, write_run
from tests.fixtures.roots import Recording


def with_logs(path: Path, run: str) -> None:
    for key, data in (
        ("request.json", b"{}"),
        ("report.md", b"x"),
        ("finetune/log", b"12345"),
        ("finetune/metrics.jsonl", b"{}"),
        ("evaluate-click/log", b"123"),
    ):
        root(path).put(f"runs/{run}/{key}", data)


def keys(path: Path) -> set[str]:
    return {found.key for found in root(path).list()}


def test_only_logs_of_old_runs_go(tmp_path: Path) -> None:
    for run in ("old", "kept"):
        write_run(root(tmp_path), run)
        with_logs(tmp_path, run)
    submit_run(root(tmp_path), "open")
    with_logs(tmp_path, "open")
    grow_old(root(tmp_path), 60)
    write_run(root(tmp_path), "young", origin={"retried": "kept"})
    ledger = Ledger(root(tmp_path))
    ledger.write("young", "finetune", {**ledger.read("kept")["finetune"], "kept": "kept"})
    with_logs(tmp_path, "young")
    before, records = keys(tmp_path), ledger.read("old")
    once = logs.Collector(scene_of(root(tmp_path), tmp_path))
    why = {verdict.thing.name: (verdict.goes, verdict.why.replace("60 d", "N d"), verdict.thing.size) for verdict in once.plan()}
    assert why["old"] == (True, "ended, not touched for N d, and nothing needs it", 8)
    assert why["kept"] == (False, "young kept steps of it", 8)
    assert why["open"] == (False, "the ledger has no end of open", 8)
    assert why["young"][0] is False
    done = removed(once)
    assert [(one.verdict.thing.name, one.became) for one in done] == [("old", "removed")]
    assert once.freed(done) == 8
    assert before ^ keys(tmp_path) == {"runs/old/finetune/log", "runs/old/evaluate-click/log", "runs/old/cleared.json"}
    assert ledger.read("old") == records
    assert collected(logs.Collector(scene_of(root(tmp_path), tmp_path))) == {}


def test_with_runs_the_logs_of_those_that_go_are_counted_once(tmp_path: Path) -> None:
    write_run(root(tmp_path), "old")
    with_logs(tmp_path, "old")
    grow_old(root(tmp_path), 60)
    assert [*logs.Collector(scene_of(root(tmp_path), tmp_path, kinds=("runs", "logs"))).plan()] == []


def test_broken_off_anywhere_nobody_misses_a_log_without_a_word(tmp_path: Path) -> None:
    for number in range(1, 200):
        path = tmp_path / f"{number}"
        write_run(root(path), "old")
        with_logs(path, "old")
        grow_old(root(path), 60)
        broken = Recording(root(path), number)
        try:
            collected(logs.Collector(scene_of(broken, path)))
        except DataError:
            pass
        else:
            break
        logs_left = sum(key.endswith("/log") for key in keys(path))
        assert logs_left == 2 or when_cleared(root(path), "old")
        collected(logs.Collector(scene_of(root(path), path)))
        assert not any(key.endswith("/log") for key in keys(path))
    else:
        pytest.fail("it never ended")


def test_the_command_says_that_they_were_cleared_away(tmp_path: Path) -> None:
    from builder.cli.logs import command

    write_run(root(tmp_path), "old")
    with_logs(tmp_path, "old")
    grow_old(root(tmp_path), 60)
    collected(logs.Collector(scene_of(root(tmp_path), tmp_path)))
    (tmp_path / "builder.toml").touch()
    for words in (["old"], ["old", "finetune"]):
        said = CliRunner().invoke(command, [*words, "--repo", str(tmp_path)])
        assert f"logs of old were cleared away on {when_cleared(root(tmp_path), 'old')[:10]} by `builder gc`" in said.output
        assert "left no log" not in said.output
