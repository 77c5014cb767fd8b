"""Clones that lack something: blobs (a blobless clone), or history (a shallow one). They give the same digests, and fetch little."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.errors import SourceError
from builder.image.shards import LARGE
from builder.source.repository import Git
from tests.fixtures.images import ON_NOTHING, build, flatten
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.repositories import Repository, Tree, an_empty_repository, at_nobodys_home, clone, numbered  # noqa: F401

Fetches = Callable[[], int]


@pytest.fixture
def fetches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetches:
    """How many times git has asked a remote for objects so far."""
    trace = tmp_path / "trace"
    trace.mkdir()
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(trace))

    def count() -> int:
        events = [json.loads(line) for file in trace.iterdir() for line in file.read_text().splitlines()]
        return sum(event["event"] == "cmd_name" and event["name"] == "fetch" for event in events)

    return count


def absent(repository: Repository, revision: str) -> int:
    """How many blobs of the commit the clone lacks."""
    listed = repository.git("rev-list", "--objects", "--no-object-names", "--missing=print", f"{revision}^{{tree}}")
    return sum(line.startswith(b"?") for line in listed.splitlines())


def blobless(source: Repository, directory: Path, *options: str) -> Repository:
    return clone(source, directory, "--filter=blob:none", "--no-checkout", *options)


BIG = {"weights/a.bin": os.urandom(LARGE + 1), "weights/b.bin": os.urandom(3 * LARGE)}


def test_a_first_build_fetches_everything_at_once(repository: Repository, tmp_path: Path, fetches: Fetches) -> None:
    repository.commit({**numbered(100), **BIG})
    expected = build(repository.directory, MemoryStore(), "main").digest
    poor = blobless(repository, tmp_path / "poor")
    assert absent(poor, "main") == 102
    before = fetches()
    image = build(poor.directory, store := MemoryStore(), "main")
    assert (image.digest, fetches() - before) == (expected, 1)
    assert flatten(store, image.digest) == repository.files("main")


CHANGES: dict[str, Tree] = {
    "one small file": {"src/file3/3.py": b"changed"},
    "a new file": {"src/file3/new.py": b"new"},
    "a small file grows over the threshold": {"src/file3/3.py": os.urandom(LARGE)},
    "a large file shrinks under it": {"weights/a.bin": os.urandom(LARGE - 1)},
    "both": {"src/file3/3.py": os.urandom(LARGE + 5), "weights/a.bin": b"small"},
    "a large file changes": {"weights/b.bin": os.urandom(3 * LARGE + 7)},
    "a file goes": {"src/file3/3.py": None},
    "a large file moves": {"weights/a.bin": None, "moved.bin": BIG["weights/a.bin"]},
    "only a mode": {"src/file3/3.py": (0o100755, numbered(400)["src/file3/3.py"])},
}


@pytest.mark.parametrize("change", CHANGES)
def test_only_blobs_of_changed_shards_are_fetched(repository: Repository, tmp_path: Path, fetches: Fetches, change: str) -> None:
    """On another machine than the one that built the parent, with an empty disk."""
    repository.history({**numbered(400), **BIG}, CHANGES[change])
    store = MemoryStore()
    build(repository.directory, store, "main~1")
    poor = blobless(repository, tmp_path / "poor")
    before, lacked = fetches(), absent(poor, "main")
    image = build(poor.directory, store, "main")
    assert fetches() - before <= 2
    assert lacked - absent(poor, "main") <= 60
    assert flatten(store, image.digest) == repository.files("main")
    assert image.digest == build(repository.directory, MemoryStore(), "main").digest


def test_a_chain_of_builds_fetches_little_each_time(repository: Repository, tmp_path: Path, fetches: Fetches) -> None:
    commits = repository.history({**numbered(400), **BIG}, *(CHANGES[name] for name in ("one small file", "both", "a large file changes")))
    poor, store = blobless(repository, tmp_path / "poor"), MemoryStore()
    build(repository.directory, store, commits[0])
    for commit in commits[1:]:
        before = fetches()
        digest = build(poor.directory, store, commit).digest
        assert fetches() - before <= 2
        assert digest == build(repository.directory, MemoryStore(), commit).digest
    assert absent(poor, "main") > 300


def test_attributes_and_excludes_cost_no_fetch_of_their_own(repository: Repository, tmp_path: Path, fetches: Fetches) -> None:
    repository.history({**numbered(100), ".gitattributes": b"*.pt filter=lfs\n", "sub/.gitattributes": b"*.bin filter=lfs\n", **BIG})
    poor = blobless(repository, tmp_path / "poor")
    before = fetches()
    image = build(poor.directory, store := MemoryStore(), "main", replace(ON_NOTHING, exclude=("weights/",)))
    assert fetches() - before == 1
    assert absent(poor, "main") == 2  # what is left out is not fetched
    assert len(flatten(store, image.digest)) == 102


def test_a_remote_that_is_gone_is_a_clear_error(repository: Repository, tmp_path: Path) -> None:
    repository.commit(numbered(30))
    poor = blobless(repository, tmp_path / "poor")
    repository.directory.rename(tmp_path / "away")
    with pytest.raises(SourceError, match="30 objects are absent from this partial clone, and origin did not give them") as caught:
        build(poor.directory, MemoryStore(), "main")
    assert "network" in caught.value.hint


def test_the_remote_that_promised_is_asked(repository: Repository, tmp_path: Path) -> None:
    repository.commit(numbered(30))
    poor = blobless(repository, tmp_path / "poor", "--origin=upstream")
    poor.git("remote", "add", "origin", "file:///nowhere")
    assert build(poor.directory, MemoryStore(), "main").digest == build(repository.directory, MemoryStore(), "main").digest


def test_a_worktree_of_a_blobless_clone(repository: Repository, tmp_path: Path, fetches: Fetches) -> None:
    repository.commit(numbered(30))
    poor = blobless(repository, tmp_path / "poor")
    poor.git("worktree", "add", "--quiet", "--detach", "--no-checkout", str(tmp_path / "tree"), "main")
    before = fetches()
    assert build(tmp_path / "tree", MemoryStore()).digest == build(repository.directory, MemoryStore(), "main").digest
    assert fetches() - before == 1


# --- shallow --------------------------------------------------------------------------------------------------------------------------


def test_a_shallow_clone_gives_the_same_digest(repository: Repository, tmp_path: Path) -> None:
    repository.history(*({"a": b"%d" % number} for number in range(5)))
    poor = clone(repository, tmp_path / "poor", "--depth=1")
    assert build(poor.directory, MemoryStore()).digest == build(repository.directory, MemoryStore(), "main").digest


def test_its_parents_image_is_found_by_name_even_so(repository: Repository, tmp_path: Path) -> None:
    """Two commits deep: the parent is there, its own parent is not."""
    repository.history(numbered(100), *({"a": b"%d" % number} for number in range(5)))
    store = MemoryStore()
    build(repository.directory, store, "main~1")
    poor = clone(repository, tmp_path / "poor", "--depth=2")
    image = build(poor.directory, store)
    assert [layer.state for layer in image.layers].count("uploaded") == 1


def test_shallow_and_blobless_asks_for_no_history(repository: Repository, tmp_path: Path, fetches: Fetches) -> None:
    """As CI clones: git would fetch an absent parent, one commit at a time."""
    repository.history(numbered(50), *({"a": b"%d" % number} for number in range(50)))
    poor = clone(repository, tmp_path / "poor", "--depth=1", "--filter=blob:none", "--no-checkout")
    before = fetches()
    digest = build(poor.directory, MemoryStore()).digest
    assert fetches() - before == 1
    assert poor.text("rev-list", "--count", "HEAD") == "1"
    assert digest == build(repository.directory, MemoryStore(), "main").digest


def test_a_revision_beyond_the_end_says_how_to_get_it(repository: Repository, tmp_path: Path) -> None:
    commits = repository.history(*({"a": b"%d" % number} for number in range(5)))
    poor = clone(repository, tmp_path / "poor", "--depth=1")
    with Git.open(poor.directory) as git, pytest.raises(SourceError) as caught:
        git.resolve(commits[0])
    assert "git fetch --unshallow" in caught.value.hint
