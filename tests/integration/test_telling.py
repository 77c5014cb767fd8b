"""What a run on this machine tells people: Slack hears of every step, in order; the card, the report and links are there."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.cli.frame import run as builder
from builder.data.directory import DirectoryObjects
from builder.data.ledger import Ledger
from builder.demo.history import make_repository
from tests.fixtures.slack import CHANNEL, TOKEN, Slack, slack_on

pytestmark = pytest.mark.minutes  # many runs through Metaflow, seconds each

SETTINGS = """
[links]
logs = "https://logs.example.org/{{run}}?commit={{commit}}"

[notify]
slack = true
channel = "{channel}"
api = "{api}"

[flow.finetune.errors.evaluate]
notify = "<@U012ABC>"
"""


@pytest.fixture
def slack() -> Iterator[Slack]:
    with slack_on("127.0.0.1") as slack:
        yield slack


@pytest.fixture
def repository(tmp_path: Path, slack: Slack, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo's, with messages on; the working directory is in it."""
    root = tmp_path / "agent"
    make_repository(root, "/usr/bin:/bin")
    with (root / "builder.toml").open("a") as file:
        file.write(SETTINGS.format(channel=CHANNEL, api=slack.api))
    monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("BUILDER_DATA_ROOT", raising=False)
    monkeypatch.chdir(root)
    return root


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert builder(["run", *words, "-o", "json"]) == 0, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def told(slack: Slack) -> list[str]:
    """`started finetune@1234567`, `succeeded start`, ...: what of which."""
    words = [text.splitlines()[0].split("*") for text in slack.texts]
    return [f"{after.split()[0].strip(':,')} {name}" for _, name, after in words]


def test_a_run_that_succeeds(repository: Path, slack: Slack, capsys: pytest.CaptureFixture[str]) -> None:
    environ = "import os; open(os.environ['BUILDER_OUTPUT'] + '/environ', 'w').write(repr(sorted(os.environ)))"
    path = repository / "agent/train.py"
    path.write_text(path.read_text() + f"\n{environ}\n")
    result = run_json(capsys, "finetune")
    run, commit = result["run"], result["commit"]
    title = f"finetune@{commit[:7]}"
    heard = told(slack)
    evaluations = sorted(line for line in heard if "evaluate" in line)
    assert [line for line in heard if "evaluate" not in line] == [
        f"started {title}",
        "succeeded start",
        "started finetune",
        "succeeded finetune",
        "started freeze",
        "succeeded freeze",
        "started end",
        "succeeded end",
        f"succeeded {title}",
    ]
    assert evaluations == sorted(f"{what} evaluate-{action}" for what in ("started", "succeeded") for action in ("click", "scroll", "type"))
    first, *rest = slack.messages
    assert {message.thread for message in rest} == {first.ts}
    assert f"<https://logs.example.org/{run}?commit={commit}|logs>" in first.text
    assert result["links"]["logs"] == f"https://logs.example.org/{run}?commit={commit}"
    assert f"click      {result['scores']['click']:.4f}" in rest[-1].text

    shown = card_of(Path(result["links"]["directory"]))
    report = json.loads((Path(result["links"]["directory"]) / "report.json").read_text())
    for action, score in report["scores"].items():
        assert f"| {action} | {score:.4f} |" in shown
    assert json.dumps(report["losses"], separators=(",", ":")) in shown.replace(" ", "")
    assert f"[logs]({result['links']['logs']})" in shown

    records = Ledger(DirectoryObjects(repository / ".builder/data")).read(run)
    assert records["run"]["links"] == records["start"]["links"] == {"logs": result["links"]["logs"]}
    assert "SLACK" not in (Path(result["links"]["directory"]) / "finetune/output/environ").read_text()
    held = subprocess.run(["grep", "-rlE", TOKEN, ".builder"], capture_output=True, text=True).stdout
    assert held == "", "the secret is in no file of the run"


def test_a_run_that_fails(repository: Path, slack: Slack, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "agent/evaluate.py").write_text("print('no such model')\nraise SystemExit(3)\n")
    assert builder(["run", "finetune", "evals=click"]) == 1
    step, end = slack.messages[-2:]
    assert step.text.splitlines()[0].startswith(":x: *evaluate-click* failed: exit code 3 - finetune@")
    assert step.text.splitlines()[0].endswith("<@U012ABC>")
    assert "ended with exit code 3\n  no such model" in step.text
    assert "failed in step evaluate-click: exit code 3 in " in end.text.splitlines()[0]
    assert end.text.splitlines()[0].endswith(" <@U012ABC>")
    assert (step.loud, end.loud) == (True, True)


def card_of(directory: Path) -> str:
    """What Metaflow's card of the last step shows: its page carries that as JSON in base64."""
    (page,) = directory.glob(".metaflow/mf.cards/**/*.html")
    found = re.findall(r'__MF_DATA__\[[^\]]*\] ?= ?"([A-Za-z0-9+/=]+)"', page.read_text())
    assert found, "the page has no data"
    return json.dumps(json.loads(base64.b64decode(found[0])), ensure_ascii=False)


OWN = """
from metaflow import FlowSpec, step

class Own(FlowSpec):
    @step
    def start(self):
        self.items = [1, 2, 3]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        self.scores = {"total": 2.0}

if __name__ == "__main__":
    Own()
"""


def test_a_teams_own_flow(repository: Path, slack: Slack, capsys: pytest.CaptureFixture[str]) -> None:
    with (repository / "builder.toml").open("a") as file:
        file.write('[flow.own]\nfile = "own.py"\n')
    (repository / "own.py").write_text(OWN)
    result = run_json(capsys, "own")
    title = f"own@{result['commit'][:7]}"
    steps = [f"{what} {step}" for step in ("start", "work", "join", "end") for what in ("started", "succeeded")]
    assert told(slack) == [f"started {title}", *steps[1:], f"succeeded {title}"]
    assert "total     2.0000" in slack.texts[-1]


def test_slack_that_does_not_answer_fails_nothing(repository: Path, slack: Slack, capfd: pytest.CaptureFixture[str]) -> None:
    slack.trouble["/api/chat.postMessage"] = 500
    began = time.monotonic()
    assert builder(["run", "finetune", "evals=click"]) == 0
    assert time.monotonic() - began < 60
    logs = [path.read_text() for path in (repository / ".builder/metaflow").rglob("*stderr.log")]
    assert any("builder: nobody was told: Slack says " in log for log in logs), "each step says so itself"
    assert TOKEN not in "".join(logs) + capfd.readouterr().err
