"""What one word means: whatever it names exactly, else the only thing that begins so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builder.data.ledger import Ledger
from builder.errors import RevisionError, UsageError
from builder.runs.lookup import Meant, Places, last_run, meant_by
from builder.source.repository import Git
from tests.fixtures.images import build
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.records import root, write_run
from tests.fixtures.repositories import Repository, an_empty_repository  # noqa: F401

CHECKPOINT = "c0ffee" + "0" * 58


@pytest.fixture
def places(tmp_path: Path, repository: Repository) -> Iterator[Places]:
    sha = repository.commit({"a": b"1"})
    store = MemoryStore()
    with Git.open(repository.directory) as git:

        def resolve(flow: str, revision: str) -> str:
            return git.resolve(sha if flow and revision == "green" else revision).sha

        write_run(root(tmp_path), "finetune-aaaaaaa-123abc", commit="a" * 40)
        root(tmp_path).put(f"checkpoints/{CHECKPOINT}.json", b"{}")
        yield Places(Ledger(root(tmp_path)), root(tmp_path), git, frozenset({"finetune", "mine"}), resolve, lambda: store)


def sha_of(places: Places) -> str:
    assert places.git is not None
    return places.git.resolve("main").sha


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("finetune-aaaaaaa-123abc", Meant("run", "finetune-aaaaaaa-123abc")),
        ("finetune-aaa", Meant("run", "finetune-aaaaaaa-123abc")),
        ("123abc", Meant("run", "finetune-aaaaaaa-123abc")),
        ("mine", Meant("flow", "mine")),
        (f"sha256:{CHECKPOINT}", Meant("checkpoint", f"sha256:{CHECKPOINT}")),
        (CHECKPOINT, Meant("checkpoint", f"sha256:{CHECKPOINT}")),
        ("c0ffee0", Meant("checkpoint", f"sha256:{CHECKPOINT}")),
        ("sha256:c0ffee0", Meant("checkpoint", f"sha256:{CHECKPOINT}")),
        ("aaaaaaaa", Meant("image", f"sha256:{'a' * 64}", commit="a" * 40)),
        (f"registry.test/x@sha256:{'a' * 64}", Meant("image", f"sha256:{'a' * 64}", commit="a" * 40)),
    ],
)
def test_names_and_their_beginnings(places: Places, word: str, meant: Meant) -> None:
    assert meant_by(word, places) == meant


def test_revisions_and_flows_at_revisions(places: Places) -> None:
    sha = sha_of(places)
    for word in ("main", sha, sha[:8]):
        assert meant_by(word, places) == Meant("commit", sha)
    for word in ("finetune@main", "finetune@green"):
        assert meant_by(word, places) == Meant("commit", sha, flow="finetune")
    with pytest.raises(RevisionError, match="no commit is named 'nowhere'"):
        meant_by("finetune@nowhere", places)


def test_an_image_that_never_ran_is_found_in_the_store(places: Places, repository: Repository) -> None:
    store, sha = MemoryStore(), sha_of(places)
    image = build(repository.directory, store, sha)
    there = replace(places, store=lambda: store)
    for word in (image.digest, image.digest[7:], image.digest[7:19], image.reference):
        assert meant_by(word, there) == Meant("image", image.digest, commit=sha)


def test_what_may_be_several_things_is_refused_with_their_names(places: Places, tmp_path: Path) -> None:
    write_run(root(tmp_path), "finetune-aaaaaaa-456def", commit="a" * 40)
    with pytest.raises(UsageError, match="finetune-aaa may be several things: run finetune-aaaaaaa-456def; run finetune-aaaaaaa-123abc"):
        meant_by("finetune-aaa", places)


@pytest.mark.parametrize("word", ["nothing", "deadbeef", f"sha256:{'d' * 64}", "a/b", "x"])
def test_what_is_nothing(places: Places, word: str) -> None:
    with pytest.raises(UsageError, match="no run, flow, image or checkpoint is called"):
        meant_by(word, places)


def test_the_last_run_is_mine_if_i_have_one(tmp_path: Path) -> None:
    ledger = Ledger(root(tmp_path))
    assert last_run(ledger, "ada") == ""
    write_run(root(tmp_path), "bobs", who="bob", at=10)
    assert last_run(ledger, "ada") == "bobs"
    write_run(root(tmp_path), "mine", at=0)
    assert last_run(ledger, "ada") == "mine"
