"""`builder run watch` and `housekeep` as their user meets them: without git, without a commit, without a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.cli import frame
from builder.cli.documents import DOCUMENTS
from builder.data.ledger import RUN, Ledger
from tests.fixtures.records import GONE, root, write_run


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("BUILDER_DATA_ROOT", "BUILDER_RUN_ON", "KUBECONFIG", "SLACK_BOT_TOKEN", "SLACK_WEBHOOK_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "team").mkdir()
    (tmp_path / "team/builder.toml").write_text('[schedule.often]\nflow = "watch"\ncron = "@hourly"\n')
    monkeypatch.chdir(tmp_path / "team")
    return tmp_path / "team"


def said(capsys: pytest.CaptureFixture[str], line: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert frame.run(line.split()) == code
    return capsys.readouterr()


def plain(place: Path) -> None:
    (place / "builder.toml").write_text("")


def lost(place: Path) -> None:
    write_run(root(place), "run-1", "running")
    ledger = Ledger(root(place))
    ledger.write("run-1", RUN, {**ledger.read("run-1")[RUN], "supervisor": GONE})


def test_a_look_by_hand(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain(place)
    lost(place)
    out, told = said(capsys, "run watch --dry-run")
    assert "new   done  run-1  its end is written, which nobody did: lost" in out
    assert "nothing was changed or sent (--dry-run)" in told
    assert Ledger(root(place)).read("run-1")[RUN]["state"] == "running"
    found = json.loads(said(capsys, "run watch --dry-run -o json")[0])
    assert set(found) == {"schema", *DOCUMENTS["builder run watch"].keys}
    assert all(set(one) == set(DOCUMENTS["builder run watch"].parts["findings"]) for one in found["findings"])
    assert "nobody was told but you: [notify] slack is off" in said(capsys, "watch")[1]
    assert Ledger(root(place)).read("run-1")[RUN]["state"] == "lost"
    assert said(capsys, "watch -o table")[0] == ""


def test_housekeep_by_hand(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain(place)
    page = place / ".builder/data/page/index.html"
    said(capsys, "housekeep --dry-run")
    assert not page.exists()
    out, told = said(capsys, "housekeep")
    assert (out, told.splitlines()[:2]) == ("", ["0 more were used lately; nothing to remove", f"the page is at {page}"])
    assert page.read_text().startswith("<!doctype html>")
    page.unlink()
    (place / "builder.toml").write_text("[housekeep]\npage = false\n")
    said(capsys, "housekeep")
    assert not page.exists()
    found = json.loads(said(capsys, "run housekeep --dry-run -o json")[0])
    assert set(found) == {"schema", *DOCUMENTS["builder run housekeep"].keys}


def test_slack_without_its_secret_changes_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "builder.toml").write_text("[notify]\nslack = true\n")
    lost(place)
    assert "SLACK_WEBHOOK_URL" in said(capsys, "run watch", 1)[1]
    assert Ledger(root(place)).read("run-1")[RUN]["state"] == "running"
    assert "run-1" in said(capsys, "run watch --dry-run")[0], "to look one needs no secret"


def test_a_cluster_that_is_not_there_is_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(capsys, "run watch --dry-run", 1)
    assert "blind  Argo  cannot be asked: no cluster" in out
    assert "Argo could not be asked, so nothing there was touched" in said(capsys, "run housekeep --dry-run", 1)[1]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("run watch@HEAD", "watch looks at what there is now, not at a commit"),
        ("run watch lr=3", "watch takes --dry-run, --repo and -o, and nothing else"),
        ("run housekeep --detach", "housekeep takes --dry-run"),
        ("run housekeep --on argo", "by hand housekeep runs on this machine"),
    ],
)
def test_what_makes_no_sense(place: Path, capsys: pytest.CaptureFixture[str], line: str, text: str) -> None:
    assert text in said(capsys, line, 2)[1]


def test_a_schedule_makes_it_one_of_the_flows(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(capsys, "status --flows -o table")
    assert "watch" in out
    assert "often: @hourly UTC" in out
