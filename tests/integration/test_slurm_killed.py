"""The process of a step is killed, anywhere, and another one comes: one job, the same result, and its log whole, once."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fixtures.patience import stride
from tests.fixtures.servers import SlurmServer
from tests.fixtures.slurm_step import SlurmStep, words
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]

SCRIPT = "for i in 1 2 3; do echo line $i; sleep 0.4; done; cat greeting >$BUILDER_CHECKPOINT/weights"
LOG = "line 1\nline 2\nline 3\n"
NEVER = 10**6
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith(("BUILDER_", "METAFLOW_"))}


def step_in(slurm: SlurmServer, directory: Path, script: str = SCRIPT) -> SlurmStep:
    return SlurmStep(directory, f"run-{uuid.uuid4().hex[:8]}", slurm.settings(directory / "cluster"), script)


def done(step: SlurmStep, kill_at: int = NEVER, attempt: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words(step, kill_at, attempt), env=ENVIRON, capture_output=True, text=True)


def jobs_of(slurm: SlurmServer, step: SlurmStep) -> set[str]:
    lines = slurm.say("squeue", "-h", "-t", "all", "-o", "%i|%j").splitlines()
    lines += slurm.say("sacct", "-n", "-P", "-X", "-S", "now-1hours", "-o", "JobIDRaw,JobName").splitlines()
    return {line for line in lines if line.split("|")[1].startswith(f"{step.run}.")}


def killed_and_done_again(slurm: SlurmServer, directory: Path, kill_at: int) -> tuple[bool, str]:
    """Whether it was killed in time, and the checkpoint. The second has a disk of its own, as a pod does, or that of the first."""
    step = step_in(slurm, directory)
    first = done(step, kill_at)
    assert first.returncode in (0, -signal.SIGKILL), (kill_at, first.stderr)
    later = SlurmStep(step.directory, step.run, step.settings, step.script, disk="disk" if kill_at % 2 else "another")
    second = done(later, attempt=1)
    assert second.returncode == 0, (kill_at, second.stderr)
    assert len(jobs_of(slurm, step)) == 1, kill_at
    assert step.log == LOG, kill_at
    assert (later.directory / later.disk / "finetune/log").read_text() == LOG, kill_at
    record = step.record
    assert (record["state"], record["tries"], record.get("failures")) == ("succeeded", 1, []), kill_at
    return first.returncode != 0, second.stdout.split()[-2]


def test_killed_anywhere_and_done_again(slurm: SlurmServer, tmp_path: Path) -> None:
    """At each thing that it does to the outside world: before and after every command on the bastion, before every change of a file."""
    undisturbed = done(step_in(slurm, tmp_path / "undisturbed"))
    assert undisturbed.returncode == 0, undisturbed.stderr
    checkpoint, count = undisturbed.stdout.split()[-2:]
    assert int(count) > 25, "or nothing was counted"
    places = range(1, int(count) + 1, stride(4))
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda kill_at: killed_and_done_again(slurm, tmp_path / f"{kill_at}", kill_at), places))
    assert {found for _, found in ended} == {checkpoint}
    assert sum(killed for killed, _ in ended) >= len(ended) - 3, "how often it looks depends on time"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_step_never_cancels_its_job(slurm: SlurmServer, tmp_path: Path, number: signal.Signals) -> None:
    step = step_in(slurm, tmp_path, f"{SCRIPT}; until [ -e {tmp_path}/go ]; do sleep 0.1; done")
    first = subprocess.Popen(words(step, NEVER), env=ENVIRON, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = tmp_path / "disk/finetune/log"
    until(lambda: log.exists() and "line 2" in log.read_text())
    first.send_signal(number)
    assert first.wait(60) != 0
    assert slurm.say("squeue", "-h", "-t", "RUNNING", f"--name={step.run}.finetune-a1", "-o", "%T") == "RUNNING"
    (tmp_path / "go").touch()
    second = done(SlurmStep(step.directory, step.run, step.settings, step.script, disk="another"), attempt=1)
    assert second.returncode == 0, second.stderr
    assert len(jobs_of(slurm, step)) == 1
    assert step.log == LOG
