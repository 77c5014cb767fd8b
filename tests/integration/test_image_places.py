"""Wherever the repository is and however it is set up, a commit is the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from builder.errors import SourceError
from builder.source.repository import Git
from tests.fixtures.images import assert_exact, build
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home, clone, numbered  # noqa: F401


def test_replaced_objects_are_not_looked_at(repository: Repository) -> None:
    """`git replace` is of one clone: with it the same commit would have two images."""
    first, second = repository.history({"a": b"1"}, {"a": b"2"})
    plain = assert_exact(repository, second)
    repository.git("replace", repository.text("rev-parse", f"{second}:a"), repository.blob(b"other"))
    repository.git("replace", "-f", second, repository.history({"z": b"9"}, branch="other")[0])
    assert build(repository.directory, MemoryStore(), second).digest == plain
    assert build(repository.directory, MemoryStore(), first).digest != plain


def test_worktree_bare_and_subdirectory_give_one_digest(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.history({"sub/dir/a": b"1"}, {"b": b"2"})
    expected = assert_exact(repository)
    repository.check_out()
    repository.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"), "main")
    bare = clone(repository, tmp_path / "bare.git", "--bare")
    monkeypatch.chdir(tmp_path)
    for place in (
        repository.directory / "sub/dir",
        tmp_path / "tree/sub",
        bare.directory,
        bare.directory / "refs",
        Path("repository/sub"),
        repository.directory / ".git",
    ):
        assert build(place, MemoryStore()).digest == expected, place


def test_a_worktree_has_a_head_of_its_own(repository: Repository, tmp_path: Path) -> None:
    first, second = repository.history({"a": b"1"}, {"a": b"2"})
    repository.check_out()
    repository.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"), first)
    assert build(tmp_path / "tree", MemoryStore()).commit.sha == first
    assert build(repository.directory, MemoryStore()).commit.sha == second


def test_a_clone_that_borrows_its_objects(repository: Repository, tmp_path: Path) -> None:
    repository.commit(numbered(50))
    subprocess.run(["git", "clone", "--quiet", "--shared", "--no-checkout", repository.directory, tmp_path / "shared"], check=True)
    assert build(tmp_path / "shared", MemoryStore()).digest == assert_exact(repository)


def test_sha256_repositories_are_refused_clearly(tmp_path: Path) -> None:
    made = Repository.make(tmp_path / "new", "--object-format=sha256")
    with pytest.raises(SourceError, match="sha256 object names are not supported yet") as caught:
        Git.open(made.directory)
    assert str(made.directory) in caught.value.message


def test_no_repository_is_refused_clearly(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not in a git repository") as caught:
        Git.open(tmp_path)
    assert "--repo" in caught.value.hint


@pytest.mark.parametrize(
    "names",
    [
        ("GIT_DIR",),
        ("GIT_DIR", "GIT_WORK_TREE"),
        ("GIT_DIR", "GIT_INDEX_FILE", "GIT_PREFIX"),
        ("GIT_OBJECT_DIRECTORY",),
        ("GIT_COMMON_DIR", "GIT_DIR"),
    ],
)
def test_the_directory_says_which_repository_it_is_and_not_the_environment(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    """Git sets these for its hooks. A hook that builds another repository's image (`--repo`) must get that one's."""
    sha = repository.commit({"a": b"1"})
    other = Repository.make(tmp_path / "other")
    other.commit({"b": b"2"})
    places = {
        "GIT_DIR": ".git",
        "GIT_COMMON_DIR": ".git",
        "GIT_WORK_TREE": ".",
        "GIT_INDEX_FILE": ".git/index",
        "GIT_PREFIX": "",
        "GIT_OBJECT_DIRECTORY": ".git/objects",
    }
    for name in names:
        monkeypatch.setenv(name, str(other.directory / places[name]))
    assert build(repository.directory, MemoryStore()).commit.sha == sha


def test_inside_a_hook(repository: Repository) -> None:
    """Git sets GIT_DIR to `.git`, relative to where it runs the hook."""
    repository.commit({"a": b"1"})
    repository.check_out()
    hook = repository.directory / ".git/hooks/post-commit"
    hook.parent.mkdir(exist_ok=True)
    said = repository.directory / "said"
    script = (
        "from pathlib import Path; from tests.fixtures.images import build; from tests.fixtures.memory_store import MemoryStore; "
        f"Path('{said}').write_text(build(Path('sub'), MemoryStore()).commit.sha)"
    )
    hook.write_text(f'#!/bin/sh\nPYTHONPATH={Path(__file__).parents[2]} exec {sys.executable} -c "{script}"\n')
    hook.chmod(0o755)
    (repository.directory / "sub").mkdir()
    (repository.directory / "sub/b").write_bytes(b"2")
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "-m", "Through a hook")
    assert said.read_text() == repository.text("rev-parse", "HEAD")
