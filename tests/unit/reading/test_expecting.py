"""What is expected of a run before it begins."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from builder.cli.expecting import words_of
from builder.data.ledger import Ledger
from builder.errors import ClusterError
from builder.runs.expecting import Coming, Expected, expect, queue_seconds
from tests.fixtures.memory_cluster import MemoryCluster
from tests.fixtures.records import root, submit_run, write_run


@pytest.mark.parametrize(
    ("running", "waiting", "at_once", "usual", "seconds"),
    [
        ((), 0, 2, 100, 0),
        ((10,), 0, 2, 100, 0),
        ((10, 40), 0, 2, 100, 60),
        ((10, 40), 1, 2, 100, 90),
        ((10, 40), 2, 2, 100, 160),
        ((500, 40), 0, 2, 100, 10),  # longer than usual: it cannot take for ever
        ((10, 40), 0, 0, 100, 0),
        ((10, 40), 0, 2, None, None),
        ((), 0, 1, None, 0),
        ((), 1, 1, 100, 100),
    ],
)
def test_when_a_run_that_comes_now_begins(
    running: tuple[float, ...], waiting: int, at_once: int, usual: float | None, seconds: float | None
) -> None:
    assert queue_seconds(running, waiting, at_once, usual) == seconds


def test_past_runs_and_the_cluster_tell(tmp_path: Path) -> None:
    cluster = MemoryCluster()
    started = datetime.fromtimestamp(time.time() - 30, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    for name, phase in (("a", "Running"), ("b", "Pending")):
        labels = {"builder/flow": "finetune", "workflows.argoproj.io/completed": "false"}
        status = {"phase": phase, "startedAt": started}
        cluster.create({"kind": "Workflow", "metadata": {"name": name, "labels": labels}, "status": status})
    ledger = Ledger(root(tmp_path))
    assert words_of(expect(ledger, "finetune", "argo", 1, lambda: cluster)) == "queued: all places are taken (1 wait before it)"
    write_run(root(tmp_path), "past", on="argo", took=100)
    found = expect(ledger, "finetune", "argo", 1, lambda: cluster)
    assert found.queue == pytest.approx(170, abs=5)
    assert words_of(found).startswith("usually 1 min 40 s, queue now ~2 min ")
    assert expect(ledger, "finetune", "argo", 0, lambda: cluster) == Expected(100, 0.0, 0)


def test_what_cannot_be_known_is_not_said(tmp_path: Path) -> None:
    submit_run(root(tmp_path), "one")

    def connect() -> MemoryCluster:
        raise ClusterError("no answer")

    assert words_of(expect(Ledger(root(tmp_path)), "finetune", "argo", 1, connect)) == ""
    assert words_of(expect(Ledger(root(tmp_path)), "finetune", "local", 1, connect)) == ""
    assert Coming(lambda: time.sleep(5) or Expected(1)).get(0.01) == Expected()  # type: ignore[func-returns-value]
    assert words_of(Coming(lambda: Expected(90)).get(5)) == "usually 1 min 30 s"
