"""What watch sees of a real Slurm, what it cancels there, and what it tells a Slack that is none."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder.cli.frame import run as builder
from builder.data.ledger import Ledger
from builder.launch.slurm.states import JobState
from builder.settings import SlurmSettings
from builder.steps.jobs import record_of
from builder.steps.stopping import ask_to_stop
from tests.fixtures.records import clock, root, write_run
from tests.fixtures.servers import SlurmServer
from tests.fixtures.slack import CHANNEL, TOKEN, Slack, slack_on
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]

SETTINGS = """
[data]
root = ".builder/data"

[notify]
slack = true
channel = "#elsewhere"
api = "{api}"

[watch]
channel = "{channel}"
gone = "1s"
silent = "1s"
pending = "1s"
limit = "9999d"

[launch.default]
on = "slurm"

[launch.default.slurm]
"""


@dataclass
class Scene:
    """A project on this machine, whose jobs are in Slurm."""

    path: Path
    slurm: SlurmServer
    slack: Slack
    settings: SlurmSettings
    capsys: pytest.CaptureFixture[str]

    def submit(self, run: str, step: str, *options: str) -> str:
        """As our script would be: the job's name."""
        directory = Path(self.settings.root) / "runs" / run / f"{step}-a1"
        directory.mkdir(parents=True)
        (directory / "log").write_text("one line\n")
        name = f"{run}.{step}-a1"
        self.slurm.say("sbatch", f"--job-name={name}", f"--chdir={directory}", "--output=slurm.log", *options, "--wrap", "sleep 300")
        return name

    def run(self, run: str) -> None:
        """One that goes on, looked after by this process; its fine-tuning waits for a job."""
        write_run(root(self.path), run, "running")
        job = record_of(JobState("7", f"{run}.finetune-a1", "RUNNING"), self.settings.bastion, "")
        Ledger(root(self.path)).write(run, "finetune", {"state": "running", "started": clock(1), "job": job})

    def look(self, *words: str) -> list[dict[str, Any]]:
        self.capsys.readouterr()
        code = builder(["run", "watch", *words, "-o", "json"])
        said = self.capsys.readouterr()
        assert code == 0, said.err
        return list(json.loads(said.out)["findings"])

    def states(self) -> str:
        return self.slurm.say("squeue", "-h", "-o", "%j %T")


@pytest.fixture
def scene(slurm: SlurmServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Scene]:
    for name in [name for name in os.environ if name.startswith(("BUILDER_STORE", "BUILDER_DATA", "BUILDER_RUN", "SLACK_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    settings = slurm.settings(tmp_path / "shared")
    names = ("bastion", "user", "identity_file", "known_hosts", "root")
    lines = [f"{name} = {json.dumps(getattr(settings, name))}" for name in names]
    with slack_on("127.0.0.1") as slack:
        (tmp_path / "builder.toml").write_text(SETTINGS.format(api=slack.api, channel=CHANNEL) + "\n".join(lines) + "\n")
        yield Scene(tmp_path, slurm, slack, settings, capsys)
    for line in slurm.say("squeue", "-h", "-o", "%i %Z").splitlines():
        number, _, directory = line.partition(" ")
        if directory.startswith(str(tmp_path)):
            slurm.say("scancel", number)


def kinds(found: list[dict[str, Any]], news: str) -> dict[str, str]:
    return {finding["subject"].split(" ")[-1]: finding["kind"] for finding in found if finding["news"] == news}


def awaited(look: Callable[[], Any]) -> Any:
    return until(look, seconds=90)


def test_what_is_wrong_in_slurm_is_told_once_and_its_end_once(scene: Scene) -> None:
    for run in ("silent-1", "waiting-1", "lonely-1"):
        scene.run(run)
    orphan = scene.submit("nobodys-1", "finetune")
    silent = scene.submit("silent-1", "finetune", "--gres=gpu:2")
    waiting = scene.submit("waiting-1", "finetune", "--begin=now+1hour")
    scene.slurm.say("sbatch", "--parsable", "--job-name=not ours $(touch x)", f"--chdir={scene.path}", "--wrap", "sleep 300")
    expected = {orphan: "zombie", silent: "zombie", waiting: "pending", "lonely-1": "gone"}

    planned = awaited(lambda: kinds(scene.look("--dry-run"), "new") == {key: kind for key, kind in expected.items() if kind != "gone"})
    assert planned
    assert not scene.slack.messages
    told = kinds(scene.look(), "new")
    told |= awaited(lambda: kinds(scene.look(), "new"))  # a run whose job is gone is told when it is still so later
    assert told == expected
    text = "\n".join(scene.slack.texts)
    assert "holds 2 GPUs on n" in text
    assert "waits for" in text
    assert "BeginTime" in text
    assert "step finetune waits for a job" in text
    assert "not ours" not in text
    for name in expected:
        assert sum(text.count(f"{word}`") for word in (name, f" {name}")) >= 1
        assert len([message for message in scene.slack.texts if f"{name}`" in message]) == 1, "told once"

    sent = len(scene.slack.messages)
    assert kinds(scene.look(), "known") == expected
    assert len(scene.slack.messages) == sent
    scene.slurm.say("scancel", "--name", orphan)
    awaited(lambda: orphan not in scene.states())
    assert kinds(scene.look(), "over") == {orphan: "zombie"}
    assert kinds(scene.look(), "over") == {}
    (last,) = scene.slack.texts[sent:]
    assert orphan in last.partition("*over*")[2]


def test_the_job_of_a_run_that_was_stopped_is_cancelled_and_no_other(scene: Scene) -> None:
    scene.run("stopped-1")
    scene.run("living-1")
    ask_to_stop(root(scene.path), "stopped-1", "ada <!here>")
    stopped, living = scene.submit("stopped-1", "finetune"), scene.submit("living-1", "finetune")
    awaited(lambda: any(finding["kind"] == "done" for finding in scene.look("--dry-run")))
    assert stopped in scene.states(), "a dry run cancels nothing"
    (message,) = [finding for finding in scene.look() if finding["kind"] == "done"]
    assert message["subject"] == "stopped-1"
    awaited(lambda: f"{stopped} RUNNING" not in scene.states())
    assert f"{living} RUNNING" in scene.states()
    text = "\n".join(scene.slack.texts)
    assert "are cancelled: ada &lt;!here&gt; asked for its end" in text
    awaited(lambda: stopped not in scene.states())
    assert kinds(scene.look(), "new") == {}


def test_a_bastion_that_does_not_answer_is_said_and_said_when_it_is_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    orphan = scene.submit("nobodys-2", "finetune")
    awaited(lambda: orphan in kinds(scene.look(), "new") or orphan in kinds(scene.look(), "known"))
    text = (scene.path / "builder.toml").read_text()
    (scene.path / "builder.toml").write_text(text.replace('known_hosts = "', 'known_hosts = "/nowhere'))
    scene.capsys.readouterr()
    assert builder(["run", "watch", "-o", "json"]) == 1
    seen = json.loads(scene.capsys.readouterr().out)
    assert list(seen["unseen"]) == [scene.settings.bastion]
    assert [(finding["news"], finding["kind"]) for finding in seen["findings"]] == [("new", "blind")], "the job may be there still"
    (scene.path / "builder.toml").write_text(text)
    assert [(finding["news"], finding["kind"]) for finding in scene.look()] == [("known", "zombie"), ("over", "blind")]
