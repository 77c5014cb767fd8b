"""Commit, images, templates, runs and checkpoints, from each end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from builder.data.ledger import Ledger
from builder.runs.graph import CheckpointNode, checkpoints_of, commit_of_image, images_of, makers_of, templates_of
from builder.runs.history import Filter, runs_of
from builder.steps.freeze import owner_key
from tests.fixtures.images import build
from tests.fixtures.memory_cluster import MemoryCluster
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.records import root, write_run
from tests.fixtures.repositories import Repository, an_empty_repository  # noqa: F401


def test_every_image_of_a_commit_with_its_tags(repository: Repository) -> None:
    first, second = repository.history({"a": b"1"}, {"a": b"2"})
    store = MemoryStore()
    one, two = (build(repository.directory, store, sha) for sha in (first, second))
    (node,) = images_of(store, first)
    assert (node.digest, node.reference, node.layers) == (one.digest, one.reference, len(one.layers))
    assert node.size == sum(layer.size for layer in one.layers)
    assert {tag.partition("-")[0] for tag in node.tags} == {first}
    assert first in node.tags
    assert images_of(store, first, [two.digest, f"sha256:{'0' * 64}"]) == (node,), "what is of another commit, or nowhere"
    assert (commit_of_image(store, two.digest), commit_of_image(store, f"sha256:{'0' * 64}")) == (second, "")


def manifest(kind: str, name: str, commit: str, **spec: Any) -> dict[str, Any]:
    labels = {"builder/commit": commit, "builder/flow": "finetune"}
    annotations = {"builder/reference": f"registry.test/x@sha256:{'1' * 64}"}
    return {"kind": kind, "metadata": {"name": name, "labels": labels, "annotations": annotations}, "spec": spec}


def test_templates_with_the_schedules_that_start_them() -> None:
    cluster = MemoryCluster()
    for name, commit in (("t-1", "a" * 40), ("t-2", "a" * 40), ("t-3", "b" * 40)):
        cluster.create(manifest("WorkflowTemplate", name, commit))
    workflow = {"workflowTemplateRef": {"name": "t-1"}}
    cluster.create(manifest("CronWorkflow", "nightly", "a" * 40, workflowSpec=workflow))
    found = templates_of(cluster, "a" * 40)
    assert [(node.name, node.flow, node.digest, node.schedules) for node in found] == [
        ("t-1", "finetune", f"sha256:{'1' * 64}", ("nightly",)),
        ("t-2", "finetune", f"sha256:{'1' * 64}", ()),
    ]


def test_checkpoints_with_the_runs_that_made_and_used_them(tmp_path: Path) -> None:
    ledger = Ledger(root(tmp_path))
    write_run(root(tmp_path), "first")
    write_run(root(tmp_path), "second", at=100)
    ledger.write("second", "finetune", {**ledger.read("second")["finetune"], "kept": "first"})
    ledger.write("first", "freeze", {"state": "succeeded", "started": "", "checkpoint": f"sha256:{'a' * 64}", "size": 7})
    assert checkpoints_of(runs_of(ledger, Filter())) == (CheckpointNode(f"sha256:{'a' * 64}", 7, ("first",), ("second",)),)
    for run, frozen in (("second", "2024-05-02"), ("first", "2024-05-01")):
        made = {"run": run, "commit": "a" * 40, "frozen": frozen}
        root(tmp_path).put(owner_key(f"sha256:{'a' * 64}", run), json.dumps(made).encode())
    assert [made["run"] for made in makers_of(root(tmp_path), f"sha256:{'a' * 64}")] == ["first", "second"]
