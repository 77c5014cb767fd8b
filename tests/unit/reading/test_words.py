"""What `green`, `live` and `last` stand for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builder.data.ledger import Ledger
from builder.errors import RevisionError
from builder.runs.words import Sources, look_up, split
from tests.fixtures.memory_cluster import MemoryCluster
from tests.fixtures.records import clock, root, write_run


def sources(tmp_path: Path, cluster: MemoryCluster | None = None) -> Sources:
    return Sources(root(tmp_path), Ledger(root(tmp_path)), lambda: cluster or MemoryCluster(), "ada")


def passed(tmp_path: Path, run: str, at: float, commit: str, schedule: str = "") -> None:
    known = {"run": run, "flow": "finetune", "commit": commit, "ended": clock(at), "schedule": schedule}
    root(tmp_path).put(f"green/finetune/{clock(at)}-{run}", json.dumps(known).encode())


def cron(name: str, commit: str, flow: str = "finetune") -> dict[str, Any]:
    labels = {"builder/flow": flow, "builder/commit": commit, "builder/schedule": name}
    return {"kind": "CronWorkflow", "metadata": {"name": name, "labels": labels}, "spec": {}}


@pytest.mark.parametrize(
    ("revision", "word", "rest"),
    [
        ("green", "green", ""),
        ("live~2", "live", "~2"),
        ("last^", "last", "^"),
        ("green-fields", "", ""),
        ("refs/heads/green", "", ""),
        ("evergreen", "", ""),
        ("HEAD", "", ""),
        ("", "", ""),
    ],
)
def test_what_is_a_word(revision: str, word: str, rest: str) -> None:
    assert split(revision) == (word, rest)


def test_green_is_the_last_nightly_else_the_last_green_run(tmp_path: Path) -> None:
    with pytest.raises(RevisionError, match="nothing is green"):
        look_up("green", "finetune", sources(tmp_path))
    passed(tmp_path, "by-hand", 10, "a" * 40)
    found = look_up("green", "finetune", sources(tmp_path))
    assert (found.sha, found.why) == ("a" * 40, "by-hand, the last green run of the default branch, as no nightly has passed yet")
    passed(tmp_path, "nightly-1", 5, "b" * 40, "nightly")
    passed(tmp_path, "nightly-2", 6, "c" * 40, "nightly")
    found = look_up("green", "finetune", sources(tmp_path))
    assert (found.sha, found.why) == ("c" * 40, "nightly-2, the last nightly that passed")


def test_live_is_what_the_cluster_s_schedules_run(tmp_path: Path) -> None:
    cluster = MemoryCluster()
    with pytest.raises(RevisionError, match="no nightly of finetune is deployed in namespace team"):
        look_up("live", "finetune", sources(tmp_path, cluster))
    cluster.create(cron("nightly", "a" * 40))
    cluster.create(cron("weekly", "a" * 40))
    cluster.create(cron("other", "b" * 40, "train"))
    found = look_up("live", "finetune", sources(tmp_path, cluster))
    assert (found.sha, found.why) == ("a" * 40, "what nightly, weekly runs")
    cluster.create(cron("hourly", "c" * 40))
    with pytest.raises(RevisionError, match=f"nightly, weekly runs {'a' * 12}; hourly runs {'c' * 12}"):
        look_up("live", "finetune", sources(tmp_path, cluster))


def test_last_is_my_own(tmp_path: Path) -> None:
    with pytest.raises(RevisionError, match="ada has not run finetune yet"):
        look_up("last", "finetune", sources(tmp_path))
    write_run(root(tmp_path), "mine", commit="a" * 40, at=0)
    write_run(root(tmp_path), "mine-again", "failed", commit="b" * 40, at=10)
    write_run(root(tmp_path), "bobs", commit="c" * 40, who="bob", at=20)
    write_run(root(tmp_path), "other", commit="d" * 40, flow="train", at=30)
    assert look_up("last", "finetune", sources(tmp_path)).sha == "b" * 40
