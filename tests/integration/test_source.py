"""Reading a repository whose git dies."""

from __future__ import annotations

import os
import signal

import pytest

from builder.errors import SourceError
from builder.source.objects import ObjectReader
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
