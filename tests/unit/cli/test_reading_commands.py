"""`builder status`, `show` and `compare` as their user meets them, over a ledger made by hand."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import click
import pytest

from builder.cli import complete, frame, output, status
from builder.data.ledger import RUN, Ledger, now
from tests.fixtures.records import root, submit_run, write_run
from tests.fixtures.repositories import Repository

SETTINGS = '[image]\nbase = "scratch"\n[flow.mine]\nuse = "finetune"\ncommand = ["true"]\nevals = { a = ["true"] }\n'


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("BUILDER_DATA_ROOT", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    Repository.make(tmp_path / "team").commit({"builder.toml": SETTINGS.encode()})
    (tmp_path / "team/builder.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path / "team")
    return tmp_path / "team"


def said(capsys: pytest.CaptureFixture[str], line: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert frame.run(line.split()) == code
    return capsys.readouterr()


def test_where_nothing_ran_yet(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "status -o table") == ("", f"no such run in {team}/.builder/data yet; `builder run FLOW` starts one\n")
    assert "nor a [flow.other] in the settings; flows here: mine" in said(capsys, "status --flow other")[1]
    assert said(capsys, "status -o json")[0] == "[]\n"
    assert "there is no run yet" in said(capsys, "show", 2)[1]
    assert "mine  finetune  evals=a" in said(capsys, "status --flows -o table")[0]
    assert "never ran" in said(capsys, "status --flows -o table")[0]
    assert not (team / ".builder").exists(), "who reads writes nothing"


def test_a_place_that_is_none(team: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(team.parent)
    assert "is in no git repository, and there is no builder.toml" in said(capsys, "status", 1)[1]


def test_settings_that_somebody_is_editing(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the last commit count for looking, and for stopping."""
    (team / "builder.toml").write_text(SETTINGS.replace("[image]", '[image]\nnope = 1\n[data]\nroot = "elsewhere"\n[image]', 1))
    write_run(root(team), "one")
    for line in ("status", "show one", "logs one", "stop one"):
        _, told = said(capsys, line)
        assert told.startswith("warning: builder.toml: line 5"), line
        assert "until that is mended, settings of the last commit count" in told, line
    assert "error: builder.toml: line 5" in said(capsys, "run mine", 2)[1]
    (team / ".git/refs/heads/main").unlink()
    assert "error: builder.toml: line 5" in said(capsys, "status", 2)[1], "there are none"


def test_a_step_that_could_not_say_how_it_ended(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(root(team))
    write_run(root(team), "one")
    ledger.write("one", "finetune", {"state": "running", "started": now()})
    ledger.write("one", RUN, {**ledger.read("one")[RUN], "state": "stopped", "ended": now()})
    assert ("finetune", "stopped") in [(step["step"], step["state"]) for step in json.loads(said(capsys, "show one -o json")[0])["steps"]]
    assert any(line.split()[:2] == ["finetune", "stopped"] for line in said(capsys, "show one")[0].splitlines())


def test_what_does_not_go_together(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(root(team), "one")
    for line, text in (
        ("status --flows --mine", "--flows lists flows"),
        ("status --flows --flow other", "there is no [flow.other]"),
        ("status --commit nowhere", "no commit is named 'nowhere'"),
        ("show mine --repro", "--repro repeats a run, and mine is a flow"),
        ("compare one", "two revisions or runs at least are compared"),
        ("compare one mine", "mine is a flow"),
        ("compare mine@main one --flow other", "other and mine are different flows"),
    ):
        assert text in said(capsys, line, 2)[1], line
    assert "one kept no request" in said(capsys, "show one --repro", 1)[1]


def test_words_are_those_of_the_flow_that_is_named(team: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.cli.person.who", lambda: "ada")
    sha = subprocess.run(["git", "rev-parse", "main"], capture_output=True, text=True, check=True).stdout.strip()
    write_run(root(team), "of-mine", commit=sha, flow="mine", scores={"a": 0.5})
    write_run(root(team), "of-another", commit="b" * 40, at=10)
    out, err = said(capsys, "compare mine@main last")
    assert err.startswith(f"last of mine is {sha[:12]}: of-mine, ")
    assert [line.split() for line in out.splitlines()[:3]] == [
        ["METRIC", "mine@main", sha[:7], "last", sha[:7], "CHANGE"],
        ["loss", "0.2500", "0.2500", "+0.0000"],
        ["a", "0.5000", "0.5000", "+0.0000"],
    ]


def test_watching_prints_again_when_something_changes(
    team: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(root(team), "one", "running")
    looks = iter(["nothing", "it ends", "nothing", "ctrl-C"])

    def sleep(_: float) -> None:
        what = next(looks)
        if what == "it ends":
            write_run(root(team), "one")
        elif what == "ctrl-C":
            raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", sleep)
    lines = said(capsys, "status --watch -o table")[0].splitlines()
    assert [line.split()[0] for line in lines] == ["RUN", "one", "RUN", "one"]
    assert ("running" in lines[1], "succeeded" in lines[3]) == (True, True)
    assert next(looks, None) is None


def test_a_terminal_is_drawn_anew(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert not output.clear()
    monkeypatch.setattr(output, "is_terminal", lambda _: True)
    assert output.clear()
    assert capsys.readouterr().out == "\x1b[H\x1b[2J\x1b[3J"


def test_a_run_of_which_little_is_known_is_shown_all_the_same(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that another run announced, one that failed before its first step, and one whose record is damaged."""
    ledger, now = Ledger(root(team)), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    ledger.write("child", RUN, {"flow": "mine", "state": "starting", "started": now, "origin": {"parent": "one"}})
    ledger.write("early", RUN, {"flow": "mine", "state": "failed", "started": now, "ended": now, "error": "no bucket", "hint": "make it"})
    (team / ".builder/data/ledger/odd").mkdir()
    (team / ".builder/data/ledger/odd/run.json").write_text("{")
    out, err = said(capsys, "status -o table")
    assert [line.split()[0] for line in out.splitlines()] == ["RUN", "early", "child"]
    assert "odd/run.json cannot be read" in err
    assert said(capsys, "show early")[0].startswith("early failed after less than 1 s\nno bucket\nhint: make it\n")
    out, _ = said(capsys, "show child")
    assert out.startswith("child is starting\n")
    assert "started by one" in out
    assert "odd/run.json cannot be read" in said(capsys, "show odd", 1)[1]


def test_runs_complete_with_how_they_stand(team: Path) -> None:
    write_run(root(team), "finetune-1", "failed")
    submit_run(root(team), "nightly-2", at=10)
    context = click.Context(click.Command("show"))
    assert [(item.value, item.help) for item in complete.run(context, None, "fine")] == [("finetune-1", "failed First")]
    offered = [item.value for item in complete.anything(context, None, "")]
    assert {"nightly-2", "finetune-1", "mine", "HEAD"} <= set(offered)
    assert [item.value for item in complete.run_or_revision(context, None, "g")] == ["green"]
    assert {item.value for item in complete.flow(context, None, "mi")} == {"mine"}


def test_completion_never_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "builder.toml").write_text("[data]\nroot = 's3://'\n")
    assert complete.run(click.Context(click.Command("show")), None, "") == []
