"""`builder status --html` as its user meets it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from builder.cli import frame
from builder.page import gather
from tests.fixtures.records import root, write_run
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home

__all__ = ["an_empty_repository", "at_nobodys_home"]

SETTINGS = '[image]\nbase = "scratch"\n'


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("BUILDER_DATA_ROOT", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    made = Repository.make(tmp_path / "team")
    for number in range(3):
        made.commit({"builder.toml": SETTINGS.encode(), "a.txt": b"%d" % number})
    made.check_out()
    monkeypatch.chdir(tmp_path / "team")
    return tmp_path / "team"


def said(capsys: pytest.CaptureFixture[str], line: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert frame.run(line.split()) == code
    return capsys.readouterr()


def told(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text().partition('id="data">')[2].partition("</script>")[0])
    return found


def test_it_writes_one_file_and_nothing_else(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (team / "out").mkdir()
    out, note = said(capsys, "status --html out/page.html")
    assert out == "out/page.html\n"
    assert note.startswith("3 commits, 0 images, 0 runs; ")
    assert "open it in a browser" in note
    page = told(team / "out/page.html")
    assert (page["name"], len(page["commits"]), page["notes"]) == ("team", 3, [])
    assert [path.name for path in (team / "out").iterdir()] == ["page.html"]
    assert not (team / ".builder").exists(), "who reads writes nothing"


def test_images_runs_and_fewer_of_them(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "image")
    said(capsys, "image --commit HEAD~1")
    write_run(root(team), "one", commit=told_head(team, capsys))
    write_run(root(team), "two", flow="train")
    said(capsys, "status --html page.html")
    page = told(team / "page.html")
    assert [bool(commit.get("image")) for commit in page["commits"] if commit["author"]] == [True, True, False]
    assert {run["run"] for run in page["runs"]} == {"one", "two"}
    said(capsys, "status --html page.html --last 1 --flow train")
    page = told(team / "page.html")
    assert [run["run"] for run in page["runs"]] == ["two"]
    assert len([commit for commit in page["commits"] if commit["author"]]) == 1


def test_what_is_new_is_what_image_says_is_new(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (made,) = json.loads(said(capsys, "image --commit HEAD~1 -o json")[0])
    (after,) = json.loads(said(capsys, "image -o json")[0])
    said(capsys, "status --html page.html")
    found = [commit["image"]["new"] for commit in told(team / "page.html")["commits"] if "image" in commit]
    assert found == [after["new_bytes"], made["new_bytes"]]


def told_head(team: Path, capsys: pytest.CaptureFixture[str]) -> str:
    said(capsys, "status --html page.html")
    return str(told(team / "page.html")["commits"][0]["sha"])


def test_what_could_not_be_asked_is_said_here_too(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (team / "builder.toml").write_text(f'{SETTINGS}[schedule.nightly]\nflow = "finetune"\ncron = "@daily"\n')
    _, note = said(capsys, "status --html page.html")
    assert "warning: Argo cannot be asked: no cluster" in note
    assert "Argo cannot be asked" in told(team / "page.html")["notes"][0]


@pytest.mark.parametrize("more", ["--mine", "--watch", "--flows", "--slurm", "-o json", "-o table", "--commit HEAD"])
def test_what_it_does_not_go_with(team: Path, capsys: pytest.CaptureFixture[str], more: str) -> None:
    assert "--html writes a page: it goes with --flow and --last alone" in said(capsys, f"status --html page.html {more}", 2)[1]
    assert not (team / "page.html").exists()


def test_a_flow_that_is_none_and_a_file_that_is_none(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "warning: no run of nope in " in said(capsys, "status --html page.html --flow nope")[1]
    write_run(root(team), "one", flow="nope")
    _, note = said(capsys, "status --html page.html --flow nope")
    assert "warning" not in note
    assert "commits, 0 images, 1 run; " in note
    assert "--html writes a file, and - names none" in said(capsys, "status --html -", 2)[1]
    assert not (team / "-").exists()


def test_places_that_are_none(team: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (team / "folder").mkdir()
    assert "folder is a directory" in said(capsys, "status --html folder", 2)[1]
    assert "a.txt is no directory: page.html cannot be written there" in said(capsys, "status --html a.txt/page.html", 2)[1]
    assert f"{team}/out/deep is no directory" in said(capsys, f"status --html {team}/out/deep/page.html", 2)[1]
    assert not (team / "out").exists()
    monkeypatch.chdir(team.parent)
    assert "is in no git repository, and there is no builder.toml" in said(capsys, "status --html page.html", 1)[1]


def test_the_page_of_before_stays_whole_when_the_disk_is_full(
    team: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (team / "page.html").write_text("of before")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert "page.html cannot be written: No space left on device" in said(capsys, "status --html page.html", 1)[1]
    assert (team / "page.html").read_text() == "of before"
    assert sorted(path.name for path in team.iterdir()) == [".git", "a.txt", "builder.toml", "page.html"]


def test_of_very_many_runs_the_newest(team: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "RUNS", 2)
    for number in range(3):
        write_run(root(team), f"run-{number}", at=number * 100)
        for path in (team / f".builder/data/ledger/run-{number}").iterdir():
            os.utime(path, (number * 100 + 10**9, number * 100 + 10**9))
    said(capsys, "status --html page.html")
    assert [run["run"] for run in told(team / "page.html")["runs"]] == ["run-2", "run-1"]
