"""Which commits have no image yet: in which order, how far back, and what a shallow clone does about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.image import missing
from builder.image.missing import Missing, find_missing
from builder.model.oci import StoredManifest
from builder.source.repository import Git
from tests.fixtures.images import build
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.repositories import DATE, Repository, an_empty_repository, at_nobodys_home, clone  # noqa: F401

DAY = 86400


def find(directory: Path, store: MemoryStore, since: str = "", revision: str = "HEAD", gaps_since: float = 0) -> Missing:
    with Git.open(directory) as git:
        return find_missing(git, store, git.resolve(revision), git.resolve(since) if since else None, gaps_since)


class Counting(MemoryStore):
    """Keeps what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def get_manifest(self, ref: str) -> StoredManifest | None:
        self.asked.append(ref)
        return super().get_manifest(ref)


def names(found: Missing) -> list[str]:
    return [commit.sha for commit in found.commits]


@pytest.fixture
def commits(repository: Repository) -> list[str]:
    return repository.history(*({"a": b"%d" % number} for number in range(12)))


def test_all_of_them_oldest_first(repository: Repository, commits: list[str]) -> None:
    found = find(repository.directory, MemoryStore())
    assert (names(found), found.stopped) == (commits, "the first commit")


@pytest.mark.parametrize("newest", [0, 5, 10, 11])
def test_back_to_the_newest_that_has_one(repository: Repository, commits: list[str], newest: int) -> None:
    store = MemoryStore()
    build(repository.directory, store, commits[newest])
    found = find(repository.directory, store)
    assert (names(found), found.gaps) == (commits[newest + 1 :], frozenset())
    assert found.stopped == f"{commits[newest][:12]}, which has its image"


@pytest.mark.parametrize("tip", [True, False])
def test_gaps_below_the_newest_are_found(repository: Repository, commits: list[str], tip: bool) -> None:
    """Somebody ran a commit before it was pushed, or an earlier build could not make an image of some."""
    store = MemoryStore()
    for number in (2, 3, 6, 11 if tip else 9):
        build(repository.directory, store, commits[number])
    found = find(repository.directory, store)
    above = [] if tip else commits[10:]
    gaps = [commits[number] for number in ((4, 5, 7, 8, 9, 10) if tip else (4, 5, 7, 8))]
    assert names(found) == gaps + above
    assert found.gaps == set(gaps)
    assert found.stopped == f"{commits[3][:12]}, which has its image"


def test_what_is_older_than_all_images_is_no_gap(repository: Repository, commits: list[str]) -> None:
    store = MemoryStore()
    build(repository.directory, store, commits[-1])
    assert names(find(repository.directory, store)) == []


def test_the_search_for_gaps_ends(repository: Repository) -> None:
    """Once 25 in a row have their image: here all but the first four."""
    commits = repository.history(*({"a": b"%d" % number} for number in range(40)))
    store = Counting()
    for commit in [commits[0], *commits[4:]]:
        build(repository.directory, store, commit)
    store.asked.clear()
    found = find(repository.directory, store)
    assert (names(found), found.stopped) == ([], f"{commits[-1][:12]}, which has its image")
    assert set(store.asked) == set(commits[-25:])
    found = find(repository.directory, store, revision="main~8")
    assert names(found) == []
    found = find(repository.directory, store, revision="main~12")
    assert names(found) == commits[1:4]


def test_gaps_that_clean_up_left_are_none(repository: Repository) -> None:
    """Images of commits that are older than [gc] keep_days go once nothing needs them: here 4 to 7, of ten."""
    old = repository.history(*({"a": b"%d" % number} for number in range(8)))
    young, tip = repository.history({"a": b"young"}, {"a": b"tip"}, date=DATE + DAY)
    store = MemoryStore()
    for commit in (old[3], tip):
        build(repository.directory, store, commit)
    found = find(repository.directory, store, gaps_since=DATE + DAY / 2)
    assert names(found) == []  # nothing is known below it that is young and has an image
    build(repository.directory, store, old[-1])
    assert names(find(repository.directory, store)) == [*old[4:7], young]
    assert names(find(repository.directory, store, gaps_since=DATE + DAY / 2)) == [young]
    build(repository.directory, store, young)
    assert names(find(repository.directory, store, gaps_since=DATE + DAY / 2)) == []


def test_a_branch_without_any_image_is_made_from_its_beginning_however_old(repository: Repository, commits: list[str]) -> None:
    assert names(find(repository.directory, MemoryStore(), gaps_since=DATE + DAY)) == commits


def test_since_fills_gaps_and_leaves_itself_out(repository: Repository, commits: list[str]) -> None:
    store = MemoryStore()
    for number in (4, 8):
        build(repository.directory, store, commits[number])
    found = find(repository.directory, store, since=commits[2])
    assert names(found) == [commits[number] for number in (3, 5, 6, 7, 9, 10, 11)]
    assert found.stopped == f"{commits[2][:12]}, as asked"


def test_since_itself_is_nothing(repository: Repository, commits: list[str]) -> None:
    assert names(find(repository.directory, MemoryStore(), since="HEAD")) == []


def test_from_a_revision_on(repository: Repository, commits: list[str]) -> None:
    assert names(find(repository.directory, MemoryStore(), revision="main~9")) == commits[:3]


@pytest.mark.parametrize(("limit", "stopped"), [(5, "the limit of 5 commits"), (11, "the limit of 11 commits"), (12, "the first commit")])
def test_the_limit(repository: Repository, commits: list[str], monkeypatch: pytest.MonkeyPatch, limit: int, stopped: str) -> None:
    monkeypatch.setattr(missing, "LIMIT", limit)
    found = find(repository.directory, MemoryStore())
    assert (names(found), found.stopped) == (commits[-limit:], stopped)


def test_the_limit_is_what_help_says() -> None:
    assert missing.LIMIT == 200


def test_first_parents_only(repository: Repository) -> None:
    (base,) = repository.history({"a": b"1"})
    repository.git("branch", "side", base)
    repository.history({"s": b"1"}, {"s": b"2"}, branch="side")
    (left,) = repository.history({"b": b"2"})
    merge = repository.commit_tree(repository.text("rev-parse", "main^{tree}"), left, "side")
    assert names(find(repository.directory, MemoryStore())) == [base, left, merge]


# --- shallow clones -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [("--depth=2",), ("--depth=2", "--filter=blob:none"), ("--depth=2", "--bare")])
def test_a_shallow_clone_is_deepened(repository: Repository, commits: list[str], tmp_path: Path, options: tuple[str, ...]) -> None:
    poor = clone(repository, tmp_path / "poor", *options)
    found = find(poor.directory, MemoryStore())
    assert (names(found), found.stopped) == (commits, "the first commit")


def test_it_is_not_deepened_when_images_in_a_row_are_nearer(
    repository: Repository, commits: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing, "_SOUND", 2)
    poor, store = clone(repository, tmp_path / "poor", "--depth=3"), MemoryStore()
    for commit in commits[-3:-1]:
        build(repository.directory, store, commit)
    assert names(find(poor.directory, store)) == commits[-1:]
    assert poor.text("rev-list", "--count", "HEAD") == "3"


def test_it_is_deepened_for_gaps(repository: Repository, commits: list[str], tmp_path: Path) -> None:
    poor, store = clone(repository, tmp_path / "poor", "--depth=1"), MemoryStore()
    for commit in (commits[3], commits[-1]):
        build(repository.directory, store, commit)
    assert names(find(poor.directory, store)) == commits[4:-1]


def test_one_that_cannot_be_deepened_says_where_it_stopped(repository: Repository, commits: list[str], tmp_path: Path) -> None:
    poor = clone(repository, tmp_path / "poor", "--depth=3")
    poor.git("remote", "remove", "origin")
    found = find(poor.directory, MemoryStore())
    assert names(found) == commits[-3:]
    assert found.stopped == "the end of this shallow clone, which could not be deepened"


def test_deepening_that_is_not_enough_says_so(
    repository: Repository, commits: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing, "LIMIT", 6)
    poor = clone(repository, tmp_path / "poor", "--depth=2")
    found = find(poor.directory, MemoryStore())
    assert (names(found), found.stopped) == (commits[-6:], "the limit of 6 commits")


def test_since_in_the_shallow_part_asks_for_nothing(repository: Repository, commits: list[str], tmp_path: Path) -> None:
    poor = clone(repository, tmp_path / "poor", "--depth=4")
    assert names(find(poor.directory, MemoryStore(), since=commits[-3])) == commits[-2:]
    assert poor.text("rev-list", "--count", "HEAD") == "4"
