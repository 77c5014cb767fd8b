"""Where the last lines of a step are, when its record does not have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.data.ledger import Ledger
from builder.runs.history import Seen
from builder.runs.tail import tail_of
from tests.fixtures.memory_cluster import MemoryCluster
from tests.fixtures.records import facts, root, submit_run, write_run

LINES = [f"line {number}" for number in range(30)]


def seen(tmp_path: Path, run: str, **record: str) -> Seen:
    ledger = Ledger(root(tmp_path))
    ledger.write(run, "finetune", {**facts(), "state": "running", "started": "2024-05-01T12:00:00Z", **record})
    return Seen.of(run, ledger.read(run))


def test_in_the_data_root_in_a_file_here_or_nowhere(tmp_path: Path) -> None:
    write_run(root(tmp_path), "r", "running")
    log = tmp_path / "log"
    log.write_text("\n".join(LINES))
    assert tail_of(seen(tmp_path, "r"), "finetune", root(tmp_path), pytest.fail) == ()  # type: ignore[arg-type]
    assert tail_of(seen(tmp_path, "r", log=str(log)), "finetune", root(tmp_path), pytest.fail) == tuple(LINES[10:])  # type: ignore[arg-type]
    root(tmp_path).put("runs/r/finetune/log", b"kept \xff\n")
    root(tmp_path).put("runs/r/finetune/log.old", b"other\n")
    assert tail_of(seen(tmp_path, "r", log=str(log)), "finetune", root(tmp_path), pytest.fail) == ("kept \ufffd",)  # type: ignore[arg-type]


def test_in_the_pod_while_it_stays_without_what_metaflow_adds(tmp_path: Path) -> None:
    submit_run(root(tmp_path), "r")
    cluster = MemoryCluster()
    cluster.logs["pod-1", "main"] = "".join(f"[MFLOG|0|2024-05-01T12:00:00|task|1]{line}\n" for line in LINES).encode()
    assert tail_of(seen(tmp_path, "r", host="pod-1"), "finetune", root(tmp_path), lambda: cluster) == tuple(LINES[10:])
    assert tail_of(seen(tmp_path, "r", host="pod-2"), "finetune", root(tmp_path), lambda: cluster) == (), "the pod is gone"
    assert tail_of(seen(tmp_path, "r"), "finetune", root(tmp_path), lambda: cluster) == ()
