"""The reference is made from the code, and says so when it is old. And `-o json` prints what the reference says."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from builder.cli import commands, frame, reference
from builder.cli.document import Document
from builder.cli.documents import DOCUMENTS
from builder.model.run import RunResult
from tests.fixtures.records import root, write_run


def test_what_is_written_is_not_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main([str(tmp_path / "new")]) == 0
    assert reference.main(["--check", str(tmp_path / "new")]) == 0
    page = tmp_path / "new" / "settings.md"
    page.write_text(page.read_text() + "by hand\n")
    (tmp_path / "new" / "json.md").unlink()
    (tmp_path / "new" / "by-hand.md").touch()
    assert reference.main(["--check", str(tmp_path / "new")]) == 1
    assert "settings.md, json.md" in capsys.readouterr().err


def test_every_command_and_every_table_is_there() -> None:
    pages = reference.pages()
    for name in commands.names():
        assert f"### builder {name}\n" in pages["commands.md"]
    assert "### builder base pin\n" in pages["commands.md"]
    for table in ("image", "image.deps", "store", "flow.NAME", "flow.NAME.scores.NAME", "run", "data"):
        assert f"## `[{table}]`\n" in pages["settings.md"]
    assert "| `evals` | table of lists of strings |" in pages["settings.md"]
    assert "| `TagConflictError` | 1 |" in pages["errors.md"]


def test_the_width_of_the_terminal_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    before = reference.pages()
    monkeypatch.setenv("COLUMNS", "40")
    assert reference.pages() == before


def conforms(found: Mapping[str, Any], document: Document) -> None:
    assert set(found) == {"schema", *document.keys}
    for key, part in document.parts.items():
        assert found[key], f"{key} is empty: nothing was compared"
        for item in found[key]:
            assert set(item) == set(part)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "a@example.com")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "repository"
    root.mkdir()
    (root / "builder.toml").write_text(
        '[image]\nbase = "scratch"\n[flow.finetune]\ncommand = ["true"]\nconfig = "c.yaml"\nevals = { a = ["true"] }\n'
    )
    (root / "c.yaml").write_text("lr: 1\n")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "add", "."], cwd=root, check=True)
    subprocess.run(["git", "commit", "-q", "-m", "First"], cwd=root, check=True)
    monkeypatch.chdir(root)
    return root


def said(line: str, capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    code = frame.run([*line.split(), "-o", "json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return json.loads(captured.out)


def test_commands_print_the_documents_they_promise(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in ("image --dry-run", "image"):
        (image,) = said(line, capsys)
        conforms(image, DOCUMENTS["builder image"])
    conforms(said("verify HEAD", capsys), DOCUMENTS["builder verify"])
    conforms(said("doctor", capsys), DOCUMENTS["builder doctor"])
    conforms(said("run finetune@HEAD --dry-run", capsys), DOCUMENTS["builder run --dry-run"])
    write_run(root(repository), "finetune-1")
    (listed,) = said("status", capsys)
    conforms(listed, DOCUMENTS["builder status"])
    (flow,) = said("status --flows", capsys)
    conforms(flow, DOCUMENTS["builder status --flows"])
    assert {"schema": 1, **flow["last"]} == listed
    conforms(said("show finetune-1", capsys), DOCUMENTS["builder show RUN"])
    conforms(said("show finetune", capsys), DOCUMENTS["builder show FLOW"])
    write_run(root(repository), "finetune-2", commit=image["commit"])
    conforms(said("show HEAD", capsys), DOCUMENTS["builder show REV"])
    conforms(said("compare finetune-1 HEAD", capsys), DOCUMENTS["builder compare"])


def test_a_run_s_document() -> None:
    result = RunResult(run="r", flow="f", commit="c", reference="x", state="succeeded")
    conforms({"schema": 1, **result.to_json()}, DOCUMENTS["builder run"])
