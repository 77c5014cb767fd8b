"""`builder bisect` as its user meets it, over commits whose images are made and whose runs are pretended."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

from builder.cli import executing, frame
from builder.cli.documents import DOCUMENTS
from builder.cli.reading import Reader
from tests.fixtures.bisecting import Team
from tests.fixtures.records import root, write_run

Make = Callable[..., Team]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    for name in ("BUILDER_DATA_ROOT", "BUILDER_STORE_TO", "BUILDER_RUN_ON", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("builder.cli.bisecting.SOON", 0.0)

    def team(*scores: str) -> Team:
        made = Team(tmp_path / "team", *scores)
        monkeypatch.setattr(executing, "execute", made.execute)
        monkeypatch.chdir(made.directory)
        return made

    return team


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert frame.run(["bisect", "finetune", *words]) == code, capsys.readouterr()
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_the_commit_its_author_what_it_changed_and_both_runs(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    team = make("0.9", "0.9", "0.9", "0.6", "0.6", "0.6")
    good, blame = team.shas[0], team.shas[3]
    out, err = said(capsys, "--good", good, "--metric", "click<0.8", "--yes")
    lines = out.splitlines()
    assert f"{blame} is the first bad commit" in lines
    assert "  author:  Ada Example <ada@example.org>" in lines
    assert "    -0.9" in lines, "what it changed"
    assert "    +0.6" in lines
    assert f"{blame[:7]} (bad) against {team.shas[2][:7]} (good):" in lines
    assert "  config lr: 2 -> 1" in lines
    (click,) = (line.split() for line in lines if line.startswith("click"))
    assert click[1:] == ["0.9000", "0.6000", "-0.3000"]
    assert "5 runs; how long one takes is not known" in err
    assert f"next: git show {blame[:12]}; builder compare {team.shas[2][:12]} {blame[:12]}" in err
    assert len(team.started) == 4, "it said that there are five at most"

    before = list(team.started)
    _, err = said(capsys, "--good", good, "--metric", "click<0.8", "--dry-run")
    assert f"nothing is left to be tested; the first bad commit: {blame[:7]} " in err
    assert "0 runs" not in err
    found = json.loads(said(capsys, "--good", good, "--metric", "click<0.8", "-o", "json")[0])
    assert set(found) == {"schema", *DOCUMENTS["builder bisect"].keys}
    assert set(found["tested"][0]) == set(DOCUMENTS["builder bisect"].parts["tested"])
    assert (found["sure"], found["suspects"], found["started"], team.started) == (True, [blame], [], before), "all of it was known"
    assert found["commit"]["files"] == [{"path": "config.yaml", "added": 1, "removed": 1}, {"path": "scores", "added": 1, "removed": 1}]


def test_it_says_what_it_costs_and_asks(make: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    team = make("0.9", "0.9", "0.6")
    words = ("--good", team.shas[0], "--metric", "click<0.8")
    write_run(root(team.directory), "elsewhere", took=7200)
    _, err = said(capsys, *words, code=2)
    assert "3 runs, about 6 h 00 min: nobody is here to say whether to go" in err
    assert "--yes" in err
    plan = json.loads(said(capsys, *words, "--dry-run", "-o", "json")[0])
    assert set(plan) == {"schema", *DOCUMENTS["builder bisect --dry-run"].keys}
    assert plan["cost"] == {"low": 3, "high": 3, "rounds": 3, "seconds": 7200.0, "gpu_seconds": 0.0}
    assert plan["next"] == [team.shas[0], team.shas[2]]

    class Person(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Person("n\n"))
    _, err = said(capsys, *words, code=1)
    assert "3 runs, about 6 h 00 min; go? [y/N]: " in err
    assert "nothing was started" in err
    assert team.started == []
    monkeypatch.setattr(sys, "stdin", Person("y\n"))
    assert "is the first bad commit" in said(capsys, *words)[0]


def test_what_cannot_be_made_or_run_is_passed_over(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    team = make("0.9", "0.9", "-", "no image", "0.6", "0.6")
    out, err = said(capsys, "--good", team.shas[0], "--metric", "click<0.8", "--yes", code=1)
    assert "the first bad commit is one of these:" in out
    assert f"it is one of 3 commits, of which all but {team.shas[4][:12]} were passed over" in err
    assert ": passed over: builder.toml" in err, "why there can be no image"
    assert "failed in step finetune: exit code 3" in err
    again = json.loads(said(capsys, "--good", team.shas[0], "--metric", "click<0.8", "--yes", "-o", "json", code=1)[0])
    assert (again["sure"], again["suspects"]) == (False, [team.shas[number] for number in (4, 3, 2)])
    assert again["started"] == [], "what failed is not tried again"
    assert len([run for run in team.started if run.startswith(f"finetune-{team.shas[2][:7]}")]) == 1


def test_ends_that_cannot_be_run(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    team = make("no image", "0.9", "0.6", "no image", "0.6")
    _, err = said(capsys, "--good", team.shas[1], "--bad", team.shas[3], "--metric", "click<0.8", code=2)
    assert "name another one with --bad" in err
    words = ("--bad", team.shas[2], "--metric", "click<0.8", "--yes")
    said(capsys, "--good", team.shas[1], *words)
    out, err = said(capsys, "--good", team.shas[0], *words)
    assert f"{team.shas[2][:7]}" in out
    assert f"the good end {team.shas[0][:12]} was not tested, but believed: builder.toml" in err


def test_repeats_outvote_noise_and_it_refuses_where_there_is_nothing_else(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    team = make("0.9", "0.9 0.3 0.9", "0.6 0.6 0.6")
    words = ("--good", team.shas[0], "--metric", "click<0.8", "--yes")
    out, err = said(capsys, *words, "--repeat", "3", code=1)
    assert f"{team.shas[2]} is the first bad commit" in out
    assert f"warning: runs of {team.shas[1][:7]} disagree: 0.9000 0.3000 0.9000" in err
    assert "cannot be told apart: runs of one commit differ in click as much as the two do" in err
    assert "--repeat 7 goes on with more runs" in err
    assert len(team.started) == 2 + 3 + 2, "as many as settle it"


def test_scores_of_runs_that_evaluated_more_count(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    team = make("0.9", "0.9", "0.6", "0.6")
    words = ("--good", team.shas[0], "--metric", "click<0.8", "--yes")
    said(capsys, *words, "evals=click,type")
    before = len(team.started)
    found = json.loads(said(capsys, *words, "-o", "json")[0])
    assert (found["suspects"], len(team.started)) == ([team.shas[2]], before)
    found = json.loads(said(capsys, *words, "lr=7", "-o", "json")[0])
    assert len(found["started"]) == before, "another configuration is another search"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--metric", "clock<0.8"), "has no clock"),
        (("--metric", "click"), "is not NAME<NUMBER"),
        (("--metric", "click<0.8", "evals=type"), "leaves out click"),
        (("--metric", "click<0.8", "--bad", "HEAD~1", "--good", "HEAD"), "comes after the bad one"),
        (("--metric", "click<0.8", "--good", "HEAD"), "are the same commit"),
        (("--metric", "click<0.8", "--good", "nope"), "no commit is named 'nope'"),
    ],
)
def test_what_cannot_be_searched(make: Make, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str) -> None:
    team = make("0.9", "0.6")
    good = () if "--good" in words else ("--good", team.shas[0])
    assert message in said(capsys, *good, *words, "--yes", code=2)[1]
    assert team.started == []


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("--on", "argo"), "error: [data] root is .builder/data: pods cannot reach a directory", 'set root = "s3://bucket/prefix"'),
        (("nosuchkey=3",), "error: nosuchkey: config.yaml has no such key", "add it to the file first"),
        (("--config", "none.yaml"), "error: the commit has no configuration file none.yaml", "start at the commit's root"),
        (("--place", "train=moon"), "error: --place train=moon is not STEP=WHERE", "steps: "),
        (("--on", "docker"), "is a directory, and Docker cannot run an image from there", 'set [store] to = "docker:"'),
    ],
)
@pytest.mark.parametrize("more", ["--yes", "--dry-run"])
def test_a_fault_of_the_command_line_is_no_commits(
    make: Make, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str, hint: str, more: str
) -> None:
    team = make("0.9", "0.9", "0.6")
    _, err = said(capsys, "--good", team.shas[0], "--metric", "click<0.8", *words, more, code=2)
    assert err.count(message) == 1
    assert hint in err
    assert not any(word in err for word in ("passed over", "--good", "may be to blame", "runs")), err
    assert team.started == []


def test_without_a_cluster_nothing_is_made(make: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDER_DATA_ROOT", "s3://team/data")
    monkeypatch.setenv("BUILDER_STORE_TO", "127.0.0.1:1/agent")
    monkeypatch.setattr(Reader, "runs", lambda *_: [])
    monkeypatch.setattr("builder.image.report.existing_image", lambda *_: None)
    monkeypatch.setattr("builder.cli.restoring.list_for", lambda *_: "")
    team = make("0.9", "0.9", "0.6")
    _, err = said(capsys, "--good", team.shas[0], "--metric", "click<0.8", "--on", "argo", "--yes", code=1)
    assert "error: no cluster: " in err
    assert "set KUBECONFIG, or [deploy] context" in err
    assert "3 runs" not in err


def test_a_key_that_only_some_commits_lack_is_theirs(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    team = make("0.9", "0.9", "no key", "0.6", "0.6")
    words = ("--good", team.shas[0], "--metric", "click<0.8", "--yes", "lr=7", "-o", "json")
    found = json.loads(said(capsys, *words, code=1)[0])
    assert [entry["verdict"] for entry in found["tested"]] == ["bad", "bad", "skip", "good", "good"]
    assert found["tested"][2]["why"] == "lr: config.yaml has no such key"
    assert "name another commit with --good" in said(capsys, *words, "--good", team.shas[2], code=1)[1], "one end alone lacks it"


def test_of_a_loss_as_little_as_can_be_is_evaluated(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    team = make("0.9", "0.9", "0.6", "0.6")
    words = ("--good", team.shas[0], "--metric", "loss>0.3", "--yes")
    found = json.loads(said(capsys, *words, "-o", "json")[0])
    assert found["suspects"] == [team.shas[2]]
    assert team.evaluated == [("click",)] * len(team.started), "the first"
    before = len(team.started)
    again = json.loads(said(capsys, *words, "evals=click,type", "-o", "json")[0])
    assert again["started"] == [], "runs that evaluated less have a loss, too"
    assert len(team.started) == before
    assert "has no such action type" in said(capsys, *words, "evals=clock", code=2)[1]


def test_losses_of_runs_that_evaluated_more_count(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    team = make("0.9", "0.9", "0.6", "0.6")
    words = ("--good", team.shas[0], "--metric", "loss>0.3", "--yes")
    said(capsys, *words, "evals=click,type")
    assert set(team.evaluated) == {("click", "type")}
    assert json.loads(said(capsys, *words, "-o", "json")[0])["started"] == []


def test_ends_that_are_otherwise_than_they_were_said_to_be(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    team = make("0.9", "0.85", "0.85")
    _, err = said(capsys, "--good", team.shas[0], "--metric", "click<0.8", "--yes", code=1)
    assert f"{team.shas[2][:12]} is not bad: its click is 0.8500, and bad means click<0.8" in err
    assert "a threshold between the two: --metric 'click<0.875'" in err
    assert len(team.started) == 2
