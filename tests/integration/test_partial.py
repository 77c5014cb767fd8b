"""Partial clones: git is asked as rarely as can be, without housekeeping, and any remote that promised may answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.errors import SourceError
from builder.source.repository import Git
from tests.fixtures.images import build
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home, clone, numbered  # noqa: F401

Started = Callable[[str], list[list[str]]]


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Started:
    """The arguments of every git command of a name so far."""
    trace = tmp_path / "trace"
    trace.mkdir()
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(trace))

    def commands(name: str) -> list[list[str]]:
        events = [json.loads(line) for file in trace.iterdir() for line in file.read_text().splitlines()]
        return [event["argv"] for event in events if event["event"] == "start" and name in event["argv"]]

    return commands


def blobless(source: Repository, directory: Path) -> Repository:
    return clone(source, directory, "--filter=blob:none", "--no-checkout")


def test_what_is_absent_is_asked_once_in_a_build(repository: Repository, tmp_path: Path, started: Started) -> None:
    """On top of the parent's image there are two fetches: what is new, then the rest of its shards."""
    repository.history(numbered(400), {"src/file3/3.py": b"changed"})
    store = MemoryStore()
    build(repository.directory, store, "main~1")
    poor = blobless(repository, tmp_path / "poor")
    before = {name: len(started(name)) for name in ("rev-list", "config", "fetch")}
    build(poor.directory, store, "main")
    after = {name: len([argv for argv in started(name) if str(poor.directory) in " ".join(argv)]) for name in before}
    assert after == {"rev-list": 1, "config": 1, "fetch": 2}


def test_fetches_leave_housekeeping_alone(repository: Repository, tmp_path: Path, started: Started) -> None:
    repository.commit(numbered(30))
    poor = blobless(repository, tmp_path / "poor")
    poor.git("config", "gc.auto", "1")
    done = len(started("maintenance") + started("gc"))
    build(poor.directory, MemoryStore(), "main")
    assert len(started("maintenance") + started("gc")) == done


def test_what_was_fetched_is_absent_no_more(repository: Repository, tmp_path: Path) -> None:
    repository.history(numbered(30), {"src/file3/3.py": b"changed"})
    poor = blobless(repository, tmp_path / "poor")
    with Git.open(poor.directory) as git:
        for revision, absent in (("main", 30), ("main~1", 1)):
            commit = git.resolve(revision)
            entries = git.entries(commit)
            assert len(git.at_hand(commit, entries)) == 30 - absent
            first = git.fetch_missing(commit, entries[:20])
            assert first + git.fetch_missing(commit, entries) == absent
            assert git.fetch_missing(commit, entries) == 0
            assert len(git.at_hand(commit, entries)) == 30


@pytest.mark.parametrize("order", [("origin", "fork"), ("fork", "origin")])
def test_any_remote_that_promised_may_have_them(repository: Repository, tmp_path: Path, order: tuple[str, ...]) -> None:
    repository.commit(numbered(30))
    poor = blobless(repository, tmp_path / "poor")
    poor.git("config", "--remove-section", "remote.origin")
    urls = {"origin": f"file://{repository.directory}", "fork": f"file://{Repository.make(tmp_path / 'fork').directory}"}
    for name in order:
        poor.git("remote", "add", name, urls[name])
        poor.git("config", f"remote.{name}.promisor", "true")
    assert build(poor.directory, MemoryStore(), "main").digest == build(repository.directory, MemoryStore(), "main").digest


def test_without_a_remote_that_promised_it_says_so(repository: Repository, tmp_path: Path) -> None:
    repository.commit(numbered(30))
    poor = blobless(repository, tmp_path / "poor")
    poor.git("config", "--unset", "remote.origin.promisor")
    with pytest.raises(SourceError, match="none of its remotes has promised"):
        build(poor.directory, MemoryStore(), "main")
