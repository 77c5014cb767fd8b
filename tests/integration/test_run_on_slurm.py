"""A run whose training is a job of Slurm, and whose evaluations are processes here: the same result as without."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builder.cli.frame import run as builder
from builder.demo.history import make_repository
from tests.fixtures.servers import SlurmServer
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]


@pytest.fixture
def team(slurm: SlurmServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("METAFLOW_", "BUILDER_STORE", "BUILDER_DATA", "BUILDER_RUN"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    repository = tmp_path / "agent"
    make_repository(repository, os.environ["PATH"])
    settings = slurm.settings(tmp_path / "cluster", setup=(f"export PATH={Path(sys.executable).parent}:$PATH",))
    words = {key: getattr(settings, key) for key in ("bastion", "user", "identity_file", "known_hosts", "root")}
    lines = [f"{key} = {json.dumps(value)}" for key, value in words.items()]
    with (repository / "builder.toml").open("a") as file:
        file.write("\n".join(["\n[launch.default.slurm]", *lines, f"setup = {json.dumps(list(settings.setup))}\n"]))
    monkeypatch.chdir(repository)
    return repository


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert builder([*words, "-o", "json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_one_word_moves_a_step(team: Path, capsys: pytest.CaptureFixture[str], slurm: SlurmServer) -> None:
    here = said(capsys, "run", "finetune", "lr=0.3")
    there = said(capsys, "run", "finetune", "lr=0.3", "--place", "finetune=slurm", "--again")
    for key in ("scores", "loss", "checkpoint", "config", "identity"):
        assert there[key] == here[key], key
    assert f"{there['run']}.finetune-a1" in slurm.say("sacct", "-n", "-P", "-X", "-o", "JobName")
    capsys.readouterr()
    assert builder(["logs", there["run"], "finetune"]) == 0
    assert "loss" in capsys.readouterr().out


def test_what_waits_is_seen_everywhere(team: Path, capsys: pytest.CaptureFixture[str], slurm: SlurmServer, tmp_path: Path) -> None:
    with (team / "builder.toml").open("a") as file:
        file.write('partition = "short"\noptions = ["--exclusive"]\n[links]\n"job log" = "https://logs.test/{job}?file={job_log}"\n')
    holder = slurm.say("sbatch", "--parsable", "-p", "short", "-t", "5", "--exclusive", "--output=/dev/null", "--wrap", "sleep 300")
    words = [sys.executable, "-m", "builder", "run", "finetune", "--place", "finetune=slurm"]
    told = tmp_path / "stderr"
    with told.open("w") as file:
        running = subprocess.Popen(words, env={**os.environ, "PYTHONSAFEPATH": "1"}, stderr=file)
    stranger = slurm.say("sbatch", "--parsable", "--gres=gpu:2", "-J", "x.y-a1\nodd|name", "--output=/dev/null", "--wrap", "sleep 300")
    try:
        seen = until(lambda: next((run for run in said(capsys, "status") if "waits" in run["detail"]), None))
        assert re.match(r"finetune: job \d+ waits in short, place \d+ of \d+ \((Resources|Priority)\)", seen["detail"])
        (step,) = [step for step in said(capsys, "show", seen["run"])["steps"] if step["step"] == "finetune"]
        assert (step["job"]["state"], step["job"]["name"]) == ("PENDING", f"{seen['run']}.finetune-a1")
        assert step["links"] == {"job log": f"https://logs.test/{step['job']['id']}?file={step['job']['log']}"}
        jobs = {job["job"]: job for job in said(capsys, "status", "--slurm")}
        ours, theirs = jobs[step["job"]["id"]], jobs[stranger]
        assert (ours["run"], ours["step"], ours["attempt"], ours["known"], ours["partition"]) == (seen["run"], "finetune", 1, True, "short")
        assert (ours["commit"], ours["run_state"], ours["count"]) == (seen["commit"], "running", 1)
        assert (theirs["name"], theirs["run"], theirs["known"], theirs["gpus"]) == ("x.y-a1\nodd|name", "", False, 2)
        assert {job["job"] for job in said(capsys, "status", "--slurm", "--mine")} == {ours["job"]}
        assert builder(["status", "--slurm", "-o", "table"]) == 0
        table = capsys.readouterr().out
        assert re.search(rf"{ours['job']} .*{seen['run']} +finetune +1 +PENDING +1 .* running ", table)
        assert "none of ours" in table
        until(lambda: "finetune: job" in told.read_text())
    finally:
        slurm.say("scancel", holder, stranger)
    assert running.wait(300) == 0, told.read_text()
    assert builder(["show", seen["run"]]) == 0
    assert f"finetune: job {step['job']['id']} ran on n1: COMPLETED" in capsys.readouterr().out
    report = (team / ".builder/data/runs" / seen["run"] / "report.md").read_text()
    assert f"- finetune: job `{step['job']['id']}` on 127.0.0.1" in report


def test_logs_and_stop_are_those_of_any_other_step(team: Path, capsys: pytest.CaptureFixture[str], slurm: SlurmServer) -> None:
    text = (team / "builder.toml").read_text()
    (team / "agent/slow.py").write_text("import time\nprint('first line', flush=True)\ntime.sleep(600)\n")
    changed = text.replace('"-m", "agent.train", "--config", "{config}"', '"-m", "agent.slow", "{config}"', 1)
    assert changed != text
    (team / "builder.toml").write_text(changed)
    run = said(capsys, "run", "finetune", "--place", "finetune=slurm", "--detach")["run"]
    words = [sys.executable, "-m", "builder", "logs", run, "finetune", "-f"]
    environ = {**os.environ, "PYTHONSAFEPATH": "1"}
    following = subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert following.stdout is not None
    try:
        assert following.stdout.readline() == "first line\n", "as it is written, while the job runs"
        (step,) = [step for step in said(capsys, "show", run)["steps"] if step["step"] == "finetune"]
        assert step["job"]["log"].endswith(f"/runs/{run}/finetune-a1/log")
        assert Path(step["job"]["log"]).read_text() == "first line\n"
    finally:
        assert builder(["stop", run]) == 0
    assert following.wait(120) == 0
    assert "was stopped" in following.communicate()[1]
    until(lambda: "CANCELLED" in slurm.say("sacct", "-n", "-P", "-X", "-j", step["job"]["id"], "-o", "State"))
    assert said(capsys, "show", run)["state"] == "stopped"


def test_a_run_that_is_stopped_leaves_no_job(team: Path, slurm: SlurmServer) -> None:
    text = (team / "builder.toml").read_text()
    slow = text.replace('command = ["python", "-m", "agent.train"', 'command = ["sleep", "300", "-m", "agent.train"', 1)
    assert slow != text
    (team / "builder.toml").write_text(slow.replace('"sleep", "300", "-m", "agent.train", "--config", "{config}"', '"sleep", "300"'))
    words = [sys.executable, "-m", "builder", "run", "finetune", "--place", "finetune=slurm"]
    running = subprocess.Popen(words, env={**os.environ, "PYTHONSAFEPATH": "1"}, stderr=subprocess.DEVNULL)
    ours = str(team.parent)  # others may have jobs there, too

    def jobs(*states: str) -> list[str]:
        lines = slurm.say("squeue", "-h", "-t", ",".join(states), "-o", "%j|%Z").splitlines()
        return [line.split("|")[0] for line in lines if line.partition("|")[2].startswith(ours)]

    (name,) = until(lambda: running.poll() is None and jobs("RUNNING"))
    assert name.endswith(".finetune-a1")
    running.send_signal(signal.SIGINT)
    assert running.wait(60) == 130
    until(lambda: not jobs("RUNNING", "PENDING"))
