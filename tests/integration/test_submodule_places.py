"""Where the objects of submodules are: linked worktrees have their own, names and paths change, old clones keep them elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from builder.errors import SourceError
from builder.image.build import build_images
from builder.image.compose import Inputs
from builder.model.tree import FILE
from builder.source.repository import Git
from tests.fixtures.images import ON_NOTHING, build, flatten
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.repositories import Repository, Tree, an_empty_repository, at_nobodys_home, submodule  # noqa: F401


def modules(**urls: Path) -> bytes:
    """A .gitmodules with everything at the path `lib`."""
    return "".join(f'[submodule "{name}"]\n\tpath = lib\n\turl = file://{url}\n' for name, url in urls.items()).encode()


def library(directory: Path, content: bytes) -> tuple[Repository, str]:
    made = Repository.make(directory)
    return made, made.commit({"who": content})


def at_lib(name: str, inner: Repository, sha: str) -> Tree:
    return {".gitmodules": modules(**{name: inner.directory}), "lib": submodule(sha)}


def test_a_worktree_has_clones_of_its_own(repository: Repository, tmp_path: Path) -> None:
    inner, sha = library(tmp_path / "inner", b"inner")
    repository.commit({"a": b"1", **at_lib("inner", inner, sha)})
    tree = Repository(tmp_path / "tree")
    repository.git("worktree", "add", "--quiet", "--detach", str(tree.directory), "main")
    tree.git("submodule", "--quiet", "update", "--init")
    assert not (repository.directory / ".git/modules").exists()
    image = build(tree.directory, store := MemoryStore())
    assert flatten(store, image.digest)[b"lib/who"] == (FILE, b"inner")


@pytest.mark.parametrize("where", ["a file", "a directory"])
def test_a_clone_under_another_name_is_found_through_its_working_tree(repository: Repository, tmp_path: Path, where: str) -> None:
    inner, sha = library(tmp_path / "inner", b"inner")
    repository.commit({"a": b"1", **at_lib("before", inner, sha)})
    repository.check_out().git("submodule", "--quiet", "update", "--init")
    repository.commit({".gitmodules": modules(after=inner.directory)})
    if where == "a directory":  # as git did before 1.7.8
        (repository.directory / "lib/.git").unlink()
        repository.git("--git-dir=.git/modules/before", "config", "--unset", "core.worktree")
        shutil.move(repository.directory / ".git/modules/before", repository.directory / "lib/.git")
    image = build(repository.directory, store := MemoryStore(), "main")
    assert flatten(store, image.digest)[b"lib/who"] == (FILE, b"inner")


def test_another_submodule_at_the_same_path(repository: Repository, tmp_path: Path) -> None:
    """Both are cloned, and commits of both are built in one go."""
    (one, sha1), (two, sha2) = library(tmp_path / "one", b"one"), library(tmp_path / "two", b"two")
    repository.history({"a": b"1", **at_lib("one", one, sha1)}, at_lib("two", two, sha2), {"a": b"2"}, at_lib("one", one, sha1))
    for revision in ("main~2", "main~3"):
        repository.git("checkout", "--quiet", "--force", revision)
        shutil.rmtree(repository.directory / "lib")
        repository.git("submodule", "--quiet", "update", "--init", "--force")
    store = MemoryStore()
    with Git.open(repository.directory) as git:
        commits = [git.resolve(f"main~{number}") for number in (3, 2, 1, 0)]
        images = list(build_images(git, store, [(commit, Inputs(ON_NOTHING)) for commit in commits]))
    assert [flatten(store, image.digest)[b"lib/who"][1] for image in images] == [b"one", b"two", b"two", b"one"]


def test_names_that_are_whole_paths_stay_in_the_git_directory(repository: Repository, tmp_path: Path) -> None:
    inner, sha = library(tmp_path / "inner", b"inner")
    repository.commit({"a": b"1", **at_lib(f"{inner.directory}/.git", inner, sha)})
    with pytest.raises(SourceError, match="submodule lib"):
        build(repository.directory, MemoryStore(), "main")
