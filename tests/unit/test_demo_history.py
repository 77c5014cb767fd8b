"""The example repository: the same commits everywhere, and its last tree is examples/agent."""

import os
from pathlib import Path

import pytest

from builder.data_files import data_path
from builder.demo.history import make_repository
from builder.process import run


def git(directory: Path, *words: str) -> str:
    return run(["git", *words], cwd=directory).text.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("agent")
    make_repository(directory, os.environ["PATH"])
    return directory


def test_has_a_commit_per_patch_and_one_before(repository: Path) -> None:
    patches = list(data_path("examples/history").glob("*.patch"))
    assert int(git(repository, "rev-list", "--count", "HEAD")) == len(patches) + 1 == 6
    assert git(repository, "status", "--porcelain") == ""


def test_commit_ids_are_the_same_on_every_machine(repository: Path) -> None:
    assert git(repository, "rev-parse", "HEAD") == "e4c617da877a28316e9bae377ef317d60a1ad77f"


def test_the_last_tree_is_the_example(repository: Path) -> None:
    source = data_path("examples/agent")
    kept = {path: (repository / path).read_bytes() for path in git(repository, "ls-files").splitlines()}
    there = {str(p.relative_to(source)): p.read_bytes() for p in source.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert kept == there


def test_the_first_commit_is_older_than_the_tool(repository: Path) -> None:
    first = git(repository, "rev-list", "--max-parents=0", "HEAD")
    tree = git(repository, "ls-tree", "-r", "--name-only", first).splitlines()
    assert "builder.toml" not in tree
    assert "BUILDER_METRICS" not in git(repository, "grep", "-h", "import", first)


def test_the_configuration_of_git_does_not_matter(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text("[user]\nname = Someone\n[commit]\ngpgsign = true\n[core]\nautocrlf = true\n[init]\ndefaultBranch = trunk\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    make_repository(tmp_path / "again", os.environ["PATH"])
    monkeypatch.undo()
    assert git(tmp_path / "again", "rev-parse", "main") == git(repository, "rev-parse", "main")
