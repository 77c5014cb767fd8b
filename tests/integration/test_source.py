"""Reading a repository: git that dies, revisions in git's odder spellings, links, and repositories with nothing in them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from builder.errors import RevisionError, SourceError
from builder.source.objects import ObjectReader
from builder.source.repository import Git
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home  # noqa: F401


@pytest.mark.parametrize("count", [1, 300])
def test_a_git_that_died_is_an_error_of_ours(repository: Repository, count: int) -> None:
    repository.commit({"a": b"1"})
    oid = repository.text("rev-parse", "main:a")
    with ObjectReader(repository.directory / ".git") as reader:
        os.kill(reader._process.pid, signal.SIGKILL)
        reader._process.wait()
        with pytest.raises(SourceError, match="git stopped reading objects"):
            list(reader.objects([oid] * count))


REVISIONS = [":/wanted", ":/two words", "HEAD^{/wanted}", "HEAD^{/two words}", "wanted~0", "annotated", "nested", "annotated^0"]


@pytest.mark.parametrize("revision", REVISIONS)
def test_any_spelling_of_a_commit(repository: Repository, revision: str) -> None:
    first, *_ = repository.history({"a": b"1"}, {"a": b"2"})
    wanted = repository.text("commit-tree", f"{first}^{{tree}}", "-p", first, "-m", "The wanted one, of two words")
    last = repository.text("commit-tree", f"{first}^{{tree}}", "-p", wanted, "-m", "Last")
    repository.git("update-ref", "refs/heads/main", last)
    repository.git("branch", "wanted", wanted)
    repository.git("tag", "-a", "-m", "A tag", "annotated", wanted)
    repository.git("tag", "-a", "-m", "A tag of a tag", "nested", "annotated")
    with Git.open(repository.directory) as git:
        assert git.resolve(revision).sha == wanted


@pytest.mark.parametrize("revision", [":/nothing says this", "HEAD^{/nothing says this}", ":a", "HEAD:a", "HEAD^{tree}", "tree"])
def test_what_is_no_commit(repository: Repository, revision: str) -> None:
    repository.commit({"a": b"1"})
    repository.check_out()
    repository.git("tag", "-a", "-m", "A tag of a tree", "tree", "main^{tree}")
    with Git.open(repository.directory) as git, pytest.raises(RevisionError, match="no commit is named"):
        git.resolve(revision)


@pytest.mark.parametrize("revision", ["HEAD", "main", "HEAD~1", ":/text"])
@pytest.mark.parametrize("options", [(), ("--bare",)])
def test_before_the_first_commit(tmp_path: Path, revision: str, options: tuple[str, ...]) -> None:
    empty = Repository.make(tmp_path / "empty", *options)
    with Git.open(empty.directory) as git, pytest.raises(RevisionError, match="there is no commit yet") as caught:
        git.resolve(revision)
    assert "git commit" in caught.value.hint


def test_a_new_branch_beside_others_has_no_commit_yet(repository: Repository) -> None:
    repository.commit({"a": b"1"}, branch="other")
    with Git.open(repository.directory) as git:
        with pytest.raises(RevisionError, match="there is no commit yet on the current branch"):
            git.resolve("HEAD")
        with pytest.raises(RevisionError, match="no commit is named 'main'"):
            git.resolve("main")


def test_a_head_whose_commit_is_lost_is_not_called_new(repository: Repository) -> None:
    sha = "12" * 20
    (repository.directory / ".git/refs/heads/main").write_text(f"{sha}\n")
    with Git.open(repository.directory) as git, pytest.raises(RevisionError, match="no commit is named 'HEAD'"):
        git.resolve("HEAD")


# --- links ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "target"), [("x.toml", "conf/real.toml"), ("sub/x.toml", "../conf/real.toml"), ("conf/x.toml", "./real.toml")]
)
def test_a_path_that_is_a_link_is_read_where_it_points(repository: Repository, path: str, target: str) -> None:
    repository.commit({path: target, "conf/real.toml": b"[image]\n"})
    with Git.open(repository.directory) as git:
        assert git.read_path(git.resolve("main"), path) == b"[image]\n"


@pytest.mark.parametrize("target", ["gone.toml", "/etc/passwd", "../x.toml", "conf/../../x", "conf", "other.toml", "x.toml", ""])
def test_a_link_that_leads_nowhere_is_named(repository: Repository, target: str) -> None:
    repository.commit({"x.toml": target, "conf/real.toml": b"[image]\n", "other.toml": "conf/real.toml"})
    with Git.open(repository.directory) as git, pytest.raises(SourceError, match=r"x\.toml is a link to"):
        git.read_path(git.resolve("main"), "x.toml")


def test_paths_that_are_no_file_hold_nothing(repository: Repository) -> None:
    repository.commit({"a/b": b"1", "link": "a"})
    with Git.open(repository.directory) as git:
        commit = git.resolve("main")
        assert git.read_path(commit, "a/b") == b"1"
        assert [git.read_path(commit, path) for path in ("a", "a/c", "c", "a/b/c", "link/b", "c/d")] == [None] * 6
