"""Where a flow that is missing is to be written: a repository that has settings is not sent to `builder init`, which would refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.cli import frame
from builder.settings import load
from builder.settings.filling_in import how_to_add
from tests.fixtures.repositories import Repository


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = Repository.make(tmp_path / "r")
    made.commit({"README": b"nothing that trains\n"})
    monkeypatch.chdir(made.directory)
    return made


@pytest.mark.parametrize("words", [["finetune@HEAD", "lr=3e-5"], ["show", "finetune"], ["deploy"]], ids=lambda words: words[0])
def test_after_init_the_line_to_fill_in_is_named(repository: Repository, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["init"]) == 0
    file = repository.directory / "builder.toml"
    (number,) = [number for number, line in enumerate(file.read_text().splitlines(), 1) if line == "# [flow.finetune]"]
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "-m", "Build images")
    capsys.readouterr()
    assert frame.run(words) == 2
    err = capsys.readouterr().err
    assert "there is no [flow." in err and f"hint: fill in [flow.finetune] in {file}, line {number}\n" in err


def test_without_settings_init_writes_them(tmp_path: Path) -> None:
    assert how_to_add("finetune", load(tmp_path, {})) == "`builder init` writes one"


def test_in_pyproject_the_table_has_its_name_there(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.builder.image]\nbase = "scratch"\n')
    assert how_to_add("mine", load(tmp_path, {})) == f"fill in [tool.builder.flow.mine] in {tmp_path / 'pyproject.toml'}"
