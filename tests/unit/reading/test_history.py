"""Runs as the ledger has them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from builder.data.ledger import Ledger
from builder.runs.history import Filter, runs_of, usual_seconds
from tests.fixtures.records import NOON, clock, root, submit_run, write_run


def test_the_newest_first_and_only_those_that_are_meant(tmp_path: Path) -> None:
    write_run(root(tmp_path), "one", at=0)
    write_run(root(tmp_path), "three", at=200, commit="b" * 40, who="bob")
    write_run(root(tmp_path), "two", at=100, flow="train")
    submit_run(root(tmp_path), "nightly", at=300, who="", origin={"schedule": "nightly"})
    ledger = Ledger(root(tmp_path))

    def named(**wanted: str) -> list[str]:
        return [seen.run for seen in runs_of(ledger, Filter(**wanted))]

    assert named() == ["nightly", "three", "two", "one"]
    assert (named(flow="train"), named(commit="bb"), named(who="bob"), named(on="argo")) == (["two"], ["three"], ["three"], ["nightly"])
    assert named(flow="train", who="bob") == []
    first, *_ = runs_of(ledger, Filter())
    assert (first.who, first.where, first.state) == ("nightly", "argo", "submitted")
    last = runs_of(ledger, Filter(), 1)
    assert len(last) == 1


def test_what_is_said_of_a_run(tmp_path: Path) -> None:
    write_run(root(tmp_path), "one", at=5, took=60, links={"logs": "https://logs.test/one"}, overrides=["lr=0.3"])
    (seen,) = runs_of(Ledger(root(tmp_path)), Filter())
    assert (seen.flow, seen.commit, seen.subject, seen.who, seen.on) == ("finetune", "a" * 40, "First", "ada", "local")
    assert seen.where.startswith("local ")
    assert (seen.started, seen.ended, seen.seconds) == (clock(5), clock(65), 60)
    assert (seen.result.scores, seen.links, seen.overrides) == ({"click": 0.5}, {"logs": "https://logs.test/one"}, ("lr=0.3",))


def test_how_long_a_run_usually_takes_is_the_median_of_those_that_succeeded_there(tmp_path: Path) -> None:
    ledger = Ledger(root(tmp_path))
    assert usual_seconds(ledger, "finetune", "local") is None
    for number, took in enumerate((50, 500, 60)):
        write_run(root(tmp_path), f"run-{number}", took=took)
    write_run(root(tmp_path), "failed", "failed", took=9000)
    write_run(root(tmp_path), "other", took=9000, flow="train")
    write_run(root(tmp_path), "retried", took=1, origin={"retried": "failed"})
    assert usual_seconds(ledger, "finetune", "local") == 60
    assert usual_seconds(ledger, "finetune", "argo") is None


def test_a_thousand_runs_within_a_second(tmp_path: Path) -> None:
    """Of this process's own time, the best of three: what is measured is the reading, not what else the machine does."""
    write_run(root(tmp_path), "run-0", scores={"click": 0.5, "scroll": 0.5, "type": 0.5})
    folder = tmp_path / ".builder/data/ledger"
    records = {file.name: file.read_text() for file in (folder / "run-0").iterdir()}
    for number in range(1, 1000):
        (folder / f"run-{number}").mkdir()
        for name, text in records.items():
            file = folder / f"run-{number}" / name
            file.write_text(text.replace('"run": "run-0"', f'"run": "run-{number}"'))
            os.utime(file, (NOON, NOON))

    def took() -> float:
        began = time.process_time()
        assert len(runs_of(Ledger(root(tmp_path), tmp_path / "cache"), Filter())) == 1000
        return time.process_time() - began

    assert min(took() for _ in range(3)) <= 1.0
