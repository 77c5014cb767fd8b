"""`builder init --flow NAME`: what it adds to the settings, and when it does not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from builder.cli import frame
from builder.init.flow import propose_flow
from builder.init.training import Training
from builder.runs.flow_file import read_flow_file
from builder.settings import load

SETTINGS = '[image]\nbase = "scratch"\n\n[flow.finetune]\ncommand = ["python", "train.py"]\n'


@pytest.fixture(name="root")
def a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "builder.toml").write_text(SETTINGS)
    (tmp_path / "train.py").write_text('parser.add_argument("--config")\n')
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/finetune.yaml").touch()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_flow_of_a_built_in_kind(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["init", "--flow", "nightly-short"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(root / "builder.toml")]
    text = (root / "builder.toml").read_text()
    assert text.startswith(SETTINGS)
    assert "# [flow.nightly-short.evals]" in text
    flow = load(root, {}).flow["nightly-short"]
    assert (flow.use, flow.command) == ("finetune", ("python", "train.py", "--config", "{config}"))
    assert flow.config == "configs/finetune.yaml"


def test_a_flow_of_the_teams_own(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["init", "--flow", "count-lines", "--own"]) == 0
    written = [str(root / "builder.toml"), str(root / "flows/count_lines.py")]
    said = capsys.readouterr()
    assert said.out.splitlines() == written
    assert "next: builder run count-lines" in said.err
    assert load(root, {}).flow["count-lines"].file == "flows/count_lines.py"
    text = (root / "flows/count_lines.py").read_text()
    assert "class CountLines(FlowSpec):" in text
    assert "builder run count-lines limit=10" in text
    assert "NewFlow" not in text
    assert read_flow_file("x", text.encode(), "x").parameters == {"limit": 1000}


def test_a_dry_run_writes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["init", "--flow", "count", "--own", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert '[flow.count]\nfile = "flows/count.py"' in out
    assert "class Count(FlowSpec):" in out
    assert (root / "builder.toml").read_text() == SETTINGS
    assert not (root / "flows").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--flow", "Nightly"], "'Nightly' cannot be the name of a flow"),
        (["--flow", "x" * 23], "cannot be the name of a flow"),
        (["--flow", "finetune"], "[flow.finetune] is in"),
        (["--flow", "draft"], "[flow.draft] is in"),
        (["--flow", "there", "--own"], "there.py is there already"),
        (["--own"], "--own goes with --flow NAME"),
    ],
)
def test_what_is_refused(root: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    (root / "flows").mkdir()
    (root / "flows/there.py").write_text("mine\n")
    before = SETTINGS + "\n# [flow.draft]\n# command = []\n"
    (root / "builder.toml").write_text(before)
    assert frame.run(["init", *words]) == 2
    assert message in capsys.readouterr().err
    assert (root / "builder.toml").read_text() == before
    assert (root / "flows/there.py").read_text() == "mine\n"


def test_without_settings_to_add_it_to(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "builder.toml").unlink()
    assert frame.run(["init", "--flow", "x"]) == 2
    assert "`builder init` writes one" in capsys.readouterr().err
    (root / "pyproject.toml").write_text('[tool.builder.image]\nbase = "scratch"\n')
    assert frame.run(["init", "--flow", "x"]) == 2
    assert "[tool.builder.flow.x]" in capsys.readouterr().err


def test_a_repository_without_scripts_that_train() -> None:
    table = propose_flow("x", Training(), own=False).table
    assert all(line.startswith("#") for line in table.splitlines() if line)
    assert '# use = "finetune"' in table
