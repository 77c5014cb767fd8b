"""Submodules: their files in their places, or an error that names them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builder.errors import SourceError
from builder.model.tree import EXECUTABLE
from tests.fixtures.images import ON_NOTHING, assert_exact, build, flatten
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home, executable, submodule  # noqa: F401


def with_submodule(outer: Repository, inner: Repository, path: str = "libs/inner", name: str = "inner", init: bool = True) -> Repository:
    """The outer repository with the inner one's main branch at a path, checked out."""
    sha = inner.text("rev-parse", "main")
    modules = f'[submodule "{name}"]\n\tpath = {path}\n\turl = file://{inner.directory}\n'.encode()
    outer.commit({"a": b"1", "libs/z": b"2", ".gitmodules": modules, path: submodule(sha)})
    outer.check_out()
    if init:
        outer.git("submodule", "--quiet", "update", "--init", "--recursive")
    return outer


@pytest.fixture
def inner(tmp_path: Path) -> Repository:
    made = Repository.make(tmp_path / "inner")
    made.commit({"lib.py": executable(b"inner"), "deep/x": "lib.py"})
    return made


def test_submodules_are_in_the_image(repository: Repository, inner: Repository) -> None:
    with_submodule(repository, inner)
    image = build(repository.directory, store := MemoryStore(), "main")
    inside = {b"libs/inner/" + path: file for path, file in inner.files("main").items()}
    assert flatten(store, image.digest) == {**repository.files("main"), **inside}


def test_submodules_can_be_left_out(repository: Repository, inner: Repository) -> None:
    with_submodule(repository, inner, init=False)
    assert_exact(repository, settings=replace(ON_NOTHING, submodules="skip"))


def test_a_submodule_of_a_submodule(repository: Repository, inner: Repository, tmp_path: Path) -> None:
    middle = with_submodule(Repository.make(tmp_path / "middle"), inner, "nested/inner")
    with_submodule(repository, middle, "third party/middle", "middle")
    image = build(repository.directory, store := MemoryStore(), "main")
    found = flatten(store, image.digest)
    assert found[b"third party/middle/nested/inner/lib.py"] == (EXECUTABLE, b"inner")
    assert set(found) > {b"third party/middle/" + path for path in middle.files("main")}


def test_a_submodule_that_was_never_cloned_is_named(repository: Repository, inner: Repository) -> None:
    with_submodule(repository, inner, init=False)
    with pytest.raises(SourceError, match="submodule libs/inner") as caught:
        build(repository.directory, MemoryStore(), "main")
    assert "git submodule update --init libs/inner" in caught.value.hint
    assert 'submodules = "skip"' in caught.value.hint


def test_a_submodules_commit_that_is_absent_is_named(repository: Repository, inner: Repository) -> None:
    with_submodule(repository, inner)
    repository.commit({"libs/inner": submodule("12" * 20)})
    with pytest.raises(SourceError, match="submodule libs/inner: its commit 121212121212 is not in this clone"):
        build(repository.directory, MemoryStore(), "main")


def test_the_digest_is_of_the_submodules_files_and_not_of_where_they_were_read(
    repository: Repository, inner: Repository, tmp_path: Path
) -> None:
    with_submodule(repository, inner, name="one")
    vendored = Repository.make(tmp_path / "vendored")
    inside = {b"libs/inner/" + path: file for path, file in inner.files("main").items()}
    vendored.commit({**repository.files("main"), **inside})
    layers = [[layer.digest for layer in build(made.directory, MemoryStore(), "main").layers] for made in (repository, vendored)]
    assert layers[0] == layers[1]


def test_hostile_names_of_submodules_do_not_leave_the_git_directory(repository: Repository, inner: Repository, tmp_path: Path) -> None:
    """CVE-2018-11235: a name with `..` must not choose another directory of objects."""
    (repository.directory / ".git/modules").mkdir()
    with_submodule(repository, inner, name="../../../inner/.git", init=False)
    with pytest.raises(SourceError, match="submodule libs/inner"):
        build(repository.directory, MemoryStore(), "main")


def test_a_submodule_in_a_worktree_and_excluded_files_in_one(repository: Repository, inner: Repository, tmp_path: Path) -> None:
    with_submodule(repository, inner)
    repository.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))
    image = build(tmp_path / "tree", store := MemoryStore(), "HEAD", replace(ON_NOTHING, exclude=("/libs/inner/deep",)))
    assert set(flatten(store, image.digest)) == {b"a", b"libs/z", b".gitmodules", b"libs/inner/lib.py"}
