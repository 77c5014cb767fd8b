"""Two clones, and commits that only one of them has: they travel through the data root."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.data.directory import DirectoryObjects
from builder.errors import RevisionError, SourceError
from builder.runs.bundles import find, send
from builder.source.bundle import is_only_here
from builder.source.repository import Git
from builder.source.snapshot import take_snapshot
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home  # noqa: F401

BIG = b"%s" % (b"a line of many\n" * 20_000)


@pytest.fixture(name="clones")
def two_clones(tmp_path: Path) -> tuple[Repository, Repository]:
    """Ada's and Bob's, of one remote."""
    remote = Repository.make(tmp_path / "remote")
    remote.history({"a": b"1", "big": BIG}, {"a": b"2"})
    for name in ("ada", "bob"):
        remote.git("clone", "--quiet", str(remote.directory), str(tmp_path / name))
    return Repository(tmp_path / "ada"), Repository(tmp_path / "bob")


@pytest.fixture(name="objects")
def a_data_root(tmp_path: Path) -> DirectoryObjects:
    return DirectoryObjects(tmp_path / "data")


def test_a_changed_tree_is_taken_from_the_data_root(clones: tuple[Repository, Repository], objects: DirectoryObjects) -> None:
    ada, bob = clones
    (ada.directory / "a").write_text("3")
    (ada.directory / "new").write_text("new")
    with Git.open(ada.directory) as git:
        commit = take_snapshot(git).commit
        assert send(git, objects, commit)
        assert not send(git, objects, commit), "it is there"
    (bundle,) = objects.list("bundles/")
    assert (bundle.key, bundle.size < 2000) == (f"bundles/{commit.sha}", True), "what the remote has is not in it"
    with Git.open(bob.directory) as git:
        assert find(git, objects, f"wip-{commit.sha[:7]}") == commit
        assert git.read_path(commit, "new") == b"new"
    assert bob.text("rev-parse", f"refs/builder/wip/{commit.sha[:12]}") == commit.sha
    assert bob.text("status", "--porcelain") == ""
    assert ada.text("for-each-ref", "refs/builder/bundle") == ""


@pytest.mark.parametrize("digits", [7, 12, 40])
def test_commits_that_are_not_pushed(clones: tuple[Repository, Repository], objects: DirectoryObjects, digits: int) -> None:
    ada, bob = clones
    ada.history({"b": b"1"}, {"b": b"2"})
    with Git.open(ada.directory) as git:
        head = git.resolve("HEAD")
        assert is_only_here(git, head)
        assert send(git, objects, head)
    with Git.open(bob.directory) as git:
        assert find(git, objects, head.sha[:digits]) == head
        assert next(commit.sha for commit in git.ancestors(head)) == ada.text("rev-parse", "HEAD~1")


def test_what_a_remote_has_is_not_sent(clones: tuple[Repository, Repository], objects: DirectoryObjects) -> None:
    ada, _ = clones
    with Git.open(ada.directory) as git:
        assert not send(git, objects, git.resolve("HEAD"))
    ada.history({"b": b"1"})
    ada.git("push", "--quiet", "origin", "HEAD:refs/heads/topic")
    with Git.open(ada.directory) as git:
        assert not send(git, objects, git.resolve("HEAD"))
    assert not [*objects.list("bundles/")]


def test_nobody_has_a_clone_of_what_has_no_remote(tmp_path: Path, objects: DirectoryObjects) -> None:
    alone = Repository.make(tmp_path / "alone")
    alone.history({"a": b"1"})
    with Git.open(alone.directory) as git:
        assert not send(git, objects, git.resolve("HEAD"))


def test_a_clone_that_is_behind(clones: tuple[Repository, Repository], objects: DirectoryObjects) -> None:
    ada, bob = clones
    ada.history({"b": b"1"})
    ada.git("push", "--quiet", "origin", "HEAD:refs/heads/topic")
    ada.history({"b": b"2"})
    with Git.open(ada.directory) as git:
        head = git.resolve("HEAD")
        send(git, objects, head)
    with Git.open(bob.directory) as git:
        with pytest.raises(SourceError, match=f"{head.sha[:12]} is in the data root, and cannot be taken") as error:
            find(git, objects, head.sha)
        assert "`git fetch` first" in error.value.hint
    bob.git("fetch", "--quiet")
    with Git.open(bob.directory) as git:
        assert find(git, objects, head.sha) == head


def test_what_nobody_has(clones: tuple[Repository, Repository], objects: DirectoryObjects) -> None:
    _, bob = clones
    objects.put(f"bundles/{'ab' * 20}", b"no bundle")
    objects.put(f"bundles/{'abab' + 'cd' * 18}", b"no bundle")
    with Git.open(bob.directory) as git:
        head = git.resolve("HEAD")
        assert find(git, objects, f"wip-{head.sha[:7]}") == head, "a snapshot of this clone's own"
        assert [find(git, objects, revision) for revision in ("main2", "123456789", "HEAD~9")] == [None] * 3
        with pytest.raises(RevisionError, match="no commit is named '123456789'"):
            find(git, objects, "wip-123456789")
        with pytest.raises(RevisionError, match="abab may be any of abababababab, ababcdcdcdcd"):
            find(git, objects, "abab")
        with pytest.raises(SourceError):
            find(git, objects, "abababab")
