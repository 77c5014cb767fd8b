"""What `builder deploy --to` takes for a directory, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.cli.naming_place import check_place
from builder.errors import UsageError
from builder.source.repository import Git
from tests.fixtures.repositories import Repository


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Git]:
    repository = Repository.make(tmp_path / "team")
    for text in (b"1", b"2"):
        repository.commit({"a": text})
    monkeypatch.chdir(repository.directory)
    with Git.open(repository.directory) as opened:
        yield opened


def test_a_revision_is_no_directory(git: Git) -> None:
    with pytest.raises(UsageError, match="no directory HEAD~1, and git knows a commit of that name") as error:
        check_place(git, "HEAD~1", ())
    assert "builder deploy --rollback FLOW --to HEAD~1; " in error.value.hint
    assert error.value.hint.endswith(" --to ./HEAD~1")
    with pytest.raises(UsageError) as error:
        check_place(git, "HEAD", ["finetune"])
    assert "builder deploy --rollback finetune --to HEAD; " in error.value.hint
    check_place(git, "./HEAD~1", ())
    Path("HEAD~1").mkdir()
    check_place(git, "HEAD~1", ())


@pytest.mark.parametrize("place", ["manifests", "../cluster/training", "a-b/c", "."])
def test_directories(git: Git, place: str) -> None:
    check_place(git, place, ())


@pytest.mark.parametrize("place", ["a", "a/below", "./a"])
def test_a_file(git: Git, place: str) -> None:
    Path("a").write_text("")
    with pytest.raises(UsageError, match="a is a file") as error:
        check_place(git, place, ())
    assert "--to takes a directory" in error.value.hint
