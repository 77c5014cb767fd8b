"""What is put together of one run: what was green before it, and whether it can be repeated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.data.ledger import Ledger
from builder.errors import StoreError
from builder.runs.history import Seen
from builder.runs.story import Places, Story, story_of
from builder.settings import Settings
from builder.source.repository import Git
from builder.steps.publish import published
from tests.fixtures.images import build
from tests.fixtures.memory_cluster import MemoryCluster
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.records import clock, root, write_run
from tests.fixtures.repositories import Repository, an_empty_repository  # noqa: F401
from tests.fixtures.requests import request_in


@pytest.fixture
def git(repository: Repository) -> Iterator[Git]:
    repository.history({"a": b"1"}, {"a": b"2"})
    with Git.open(repository.directory) as opened:
        yield opened


def green(tmp_path: Path, run: str, at: float, commit: str) -> None:
    write_run(root(tmp_path), run, at=at - 60, commit=commit)
    known = {
        "run": run,
        "commit": commit,
        "reference": "x@sha256:0",
        "ended": clock(at),
        "schedule": "",
        "scores": {"click": 0.4},
        "loss": 1,
    }
    root(tmp_path).put(f"green/finetune/{clock(at)}-{run}", json.dumps(known).encode())


def story(tmp_path: Path, run: str, git: Git, store: MemoryStore | None = None) -> Story:
    ledger = Ledger(root(tmp_path))
    places = Places(root(tmp_path), ledger, git, Settings(), lambda: store or broken(), MemoryCluster)
    return story_of(Seen.of(run, ledger.read(run)), places)


def broken() -> MemoryStore:
    raise StoreError("the store is away")


def test_it_is_measured_by_what_was_green_when_it_began(tmp_path: Path, git: Git) -> None:
    first, second = git.resolve("main~1").sha, git.resolve("main").sha
    green(tmp_path, "before", 0, first)
    write_run(root(tmp_path), "mine", "failed", at=10, commit=second, values={"lr": 0.2})
    green(tmp_path, "after", 500, second)
    found = story(tmp_path, "mine", git, MemoryStore())
    assert found.baseline["run"] == "before"
    assert found.since is not None
    assert ([commit.sha for commit in found.since.commits], found.since.config) == ([second], {"lr": ("0.1", "0.2")})
    assert story(tmp_path, "before", git, MemoryStore()).baseline == {}


def test_an_image_made_anew_is_told_as_the_run_cannot_be_repeated_with_it(tmp_path: Path, git: Git, repository: Repository) -> None:
    sha = git.resolve("main").sha
    write_run(root(tmp_path), "mine", commit=sha)
    assert story(tmp_path, "mine", git, MemoryStore()).again == "", "it kept no request"
    request = {**request_in(tmp_path).to_json(), "commit": sha}
    root(tmp_path).put(published("mine", "", "request.json"), json.dumps(request).encode())
    store = MemoryStore()
    assert story(tmp_path, "mine", git, store).missing == ()
    digest = build(repository.directory, store, "main").digest
    found = story(tmp_path, "mine", git, store)
    assert found.again == f"builder run finetune@{sha[:12]} --again"
    assert found.missing == (f"the run used image {sha[0] * 12}, and {sha[:12]} would now run {digest[7:19]}: made with other inputs",)
    (line,) = story(tmp_path, "mine", git).missing
    assert line == f"whether {sha[:12]} still has the image of this run: the store is away"
