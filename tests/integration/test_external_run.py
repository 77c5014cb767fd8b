"""A run on this machine whose evaluation somebody else does: the score or the hole is in the report."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import threading
import time
from pathlib import Path

import pytest

from builder.cli.frame import run as builder
from tests.fixtures.repositories import Repository

pytestmark = pytest.mark.minutes  # many runs through Metaflow, seconds each

SETTINGS = """
[image]
base = "scratch"

[flow.finetune]
command = ["sh", "-c", "echo 0.25 >$BUILDER_CHECKPOINT/weights"]
[flow.finetune.evals]
click = ["sh", "-c", "test -z $PARTNER_KEY && echo '{\\"step\\": 1, \\"name\\": \\"score\\", \\"value\\": 0.5}' >$BUILDER_METRICS"]
[flow.finetune.evals.drag]
kind = "external"
samples = "data"
key_env = "PARTNER_KEY"
timeout = "TIMEOUT"
"""


@pytest.fixture
def team(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Repository:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PARTNER_KEY", "secret")
    for name in [name for name in os.environ if name.startswith(("METAFLOW_", "BUILDER_STORE", "BUILDER_DATA", "BUILDER_RUN"))]:
        monkeypatch.delenv(name)
    repository = Repository.make(tmp_path / "team")
    (repository.directory / "data").mkdir()
    (repository.directory / "data/drag.jsonl").write_text("{}\n")
    monkeypatch.chdir(repository.directory)
    return repository


def commit(team: Repository, timeout: str) -> None:
    (team.directory / "builder.toml").write_text(SETTINGS.replace("TIMEOUT", timeout))
    team.text("add", "--all")
    team.text("commit", "--quiet", "--message", "Ask a partner")


def answer(team: Repository) -> None:
    deadline = time.monotonic() + 60
    while not (found := list((team.directory / ".builder/data").glob("external/*/drag/request.json"))):
        assert time.monotonic() < deadline, "nobody was asked"
        time.sleep(0.05)
    request = json.loads(found[0].read_text())
    text = "\n".join((request["run"], request["action"], request["nonce"], "0.75"))
    signature = hmac.new(b"secret", text.encode(), hashlib.sha256).hexdigest()
    Path(request["result"]).write_text(json.dumps({"score": 0.75, "signature": signature}))


def test_the_score_of_a_partner_is_in_the_report(team: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    commit(team, "2m")
    thread = threading.Thread(target=answer, args=(team,))
    thread.start()
    code = builder(["run", "finetune@HEAD", "-o", "json"])
    thread.join()
    said = capsys.readouterr()
    assert code == 0, said.err
    assert json.loads(said.out)["scores"] == {"click": 0.5, "drag": 0.75}


def test_what_is_missing_is_told_before_the_training(
    team: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(team, "2m")
    monkeypatch.delenv("PARTNER_KEY")
    assert builder(["run", "finetune@HEAD"]) == 2
    assert "there is no $PARTNER_KEY, with which the result is signed" in capsys.readouterr().err
    monkeypatch.setenv("PARTNER_KEY", "secret")
    (team.directory / "data/drag.jsonl").unlink()
    commit(team, "3m")
    assert builder(["run", "finetune@HEAD"]) == 2
    assert "[flow.finetune.evals.drag] samples: the commit has no data" in capsys.readouterr().err
    assert not (team.directory / ".builder/data/ledger").exists()


def test_without_an_answer_the_run_goes_on(team: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    commit(team, "1s")
    assert builder(["run", "finetune@HEAD", "-o", "json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["state"], result["scores"]) == ("succeeded", {"click": 0.5, "drag": None})
    assert "nobody answered within 1s" in result["holes"]["drag"]
