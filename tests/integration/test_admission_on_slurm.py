"""What is refused before it is submitted, and what waits instead: on a real Slurm."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.errors import LaunchError
from builder.launch import Job, finish
from builder.launch.slurm import admission
from builder.launch.slurm.bastion import Bastion
from builder.launch.slurm.launcher import Slurm
from builder.launch.slurm.states import JobState
from tests.fixtures.servers import SlurmServer
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]


@pytest.fixture
def launch(slurm: SlurmServer, tmp_path: Path) -> Iterator[Callable[..., Slurm]]:
    run, made = f"run-{uuid.uuid4().hex[:8]}", []

    def launcher(**changes: Any) -> Slurm:
        made.append(Slurm(Bastion(replace(slurm.settings(tmp_path / "cluster"), **changes)), run))
        return made[-1]

    yield launcher
    for each in made:
        each.bastion.close()


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    (tmp_path / "code").mkdir()
    (tmp_path / "output").mkdir()

    def made(script: str, attempt: int = 1) -> Job:
        words, base = ("bash", "-c", script), tmp_path / "output"
        return Job("step", words, tmp_path / "code", base / f"step-{attempt}/log", base=base, attempt=attempt)

    return made


def jobs_of(slurm: SlurmServer, launcher: Slurm) -> list[str]:
    found = slurm.say("squeue", "-h", "-t", "all", "-o", "%i|%j").splitlines()
    return [line.split("|")[0] for line in found if line.split("|", 1)[1].startswith(f"{launcher.run}.")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nodes": 32}, "partition main can never give nodes = 32: asked for 32 nodes; available: 4 nodes with 8 GPUs"),
        ({"gpus_per_node": 9}, "asked for 1 node with 9 GPUs; available: 4 nodes with 8 GPUs, 16 CPUs, 2000M of memory each"),
        ({"mem": "2001M"}, "partition main can never give mem = 2001M"),
        ({"cpus": 17}, "partition main can never give cpus = 17"),
        ({"constraint": "tpu"}, "partition main can never give constraint = tpu"),
        ({"partition": "short", "nodes": 2}, "available: 1 node with 8 GPUs"),
        ({"partition": "short", "time": "6m"}, "asked for 6 min; available: .* for 5 min at most"),
        ({"partition": "none"}, "Slurm knows no partition none; available: .*main.*short"),
    ],
)
def test_what_the_partition_can_never_give(launch: Any, job: Any, slurm: SlurmServer, changes: dict[str, Any], words: str) -> None:
    launcher = launch(**changes)
    with pytest.raises(LaunchError, match=words) as caught:
        launcher.submit(job("true"))
    assert "[launch.STEP.slurm]" in caught.value.hint
    assert jobs_of(slurm, launcher) == [], "sbatch leaves a failed job under the name when it refuses"


def test_what_only_sbatch_knows_is_in_its_own_words(launch: Any, job: Any) -> None:
    with pytest.raises(LaunchError, match="Batch job submission failed"):
        launch(options=("--nodes=32",)).submit(job("true"))


@pytest.fixture
def partition(slurm: SlurmServer) -> Iterator[str]:
    """Of the first node alone, as long as nobody changes it."""
    name = f"made{uuid.uuid4().hex[:6]}"
    slurm.say("scontrol", "create", f"PartitionName={name}", "Nodes=n1", "MaxTime=10")
    yield name
    slurm.say("scontrol", "delete", f"PartitionName={name}")


def test_nodes_that_are_not_there_yet_are_waited_for(
    launch: Any, job: Any, slurm: SlurmServer, partition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_FIRST_PAUSE", 1.0)
    monkeypatch.setattr(admission, "_LONGEST_PAUSE", 1.0)
    heard: list[JobState] = []
    launcher, asked = launch(partition=partition, nodes=2, wait_for_nodes=True), job("echo $SLURM_JOB_NUM_NODES")
    launcher.heard = lambda job, _: heard.append(job)
    waiting = threading.Thread(target=lambda: finish(launcher, asked))
    waiting.start()
    until(lambda: heard)
    assert heard[0].is_waiting
    assert "can never give nodes = 2" in heard[0].reason
    assert jobs_of(slurm, launcher) == []
    slurm.say("scontrol", "update", f"PartitionName={partition}", "Nodes=n1,n2")
    waiting.join(300)
    assert "2" in asked.log.read_text()


def test_nodes_that_are_down_are_waited_for_in_the_queue(launch: Any, job: Any, slurm: SlurmServer, partition: str) -> None:
    slurm.say("scontrol", "update", f"PartitionName={partition}", "State=DOWN")
    launcher = launch(partition=partition)
    name = launcher.submit(job("echo up"))
    assert launcher.poll(name, 1.0) is None
    slurm.say("scontrol", "update", f"PartitionName={partition}", "State=UP")
    assert until(lambda: launcher.poll(name, 2.0)).code == 0


def test_a_job_waits_no_longer_than_the_settings_allow(launch: Any, job: Any, slurm: SlurmServer, partition: str) -> None:
    slurm.say("scontrol", "update", f"PartitionName={partition}", "State=DOWN")
    launcher = launch(partition=partition, queue_limit="1s")
    with pytest.raises(LaunchError, match=r"waited for 1s in the queue \(PartitionDown\)") as caught:
        finish(launcher, job("true"))
    assert caught.value.end == "timeout"
    (number,) = jobs_of(slurm, launcher)
    until(lambda: "CANCELLED" in slurm.say("sacct", "-n", "-P", "-X", "-j", number, "-o", "State"))
