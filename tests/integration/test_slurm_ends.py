"""How jobs end that Slurm ends, on a Slurm of their own: what the step says of it, and whether it tries again.

Slurm takes its time (a job's limit is kept to the minute, and looked at every half): all jobs go on at once.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from builder.errors import LaunchError
from builder.launch.slurm.records import ALL
from builder.model.run import Training
from tests.fixtures.own_slurm import OwnSlurm, own_slurm
from tests.fixtures.slurm_step import SlurmStep
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900), pytest.mark.xdist_group("slurm-ends")]

LOST = 3  # the node that fails
LEAVE = "cat greeting >$BUILDER_CHECKPOINT/weights"
FIRST_SLEEPS = f"case $SLURM_JOB_NAME in *-a1) sleep 600;; esac; echo $SLURM_JOB_NAME; {LEAVE}"
GREEDY = "exec python3 -c 'import time; x = bytearray(300_000_000); time.sleep(600)'"


@dataclass
class Cluster:
    """Steps that go on at once, each in a run of its own."""

    own: OwnSlurm
    directory: Path
    pool: ThreadPoolExecutor

    def begin(self, script: str, timeout: str = "", **settings: Any) -> tuple[SlurmStep, Future[Any]]:
        run = f"run-{uuid.uuid4().hex[:8]}"
        if not any(option.startswith("--nodelist") for option in settings.get("options", ())):  # nobody else is on the node that fails
            settings["options"] = (*settings.get("options", ()), f"--exclude={self.own.node(LOST)}")
        step = SlurmStep(self.directory / run, run, self.own.settings(self.directory / "cluster", **settings), script, timeout)
        return step, self.pool.submit(step.do)

    def jobs(self, step: SlurmStep) -> list[str]:
        """Name and state of all jobs there ever were of a run."""
        lines = self.own.say("sacct", "-n", "-P", "-X", "-S", "now-1hours", "-E", "now", "-s", ALL, "-o", "JobName,State").splitlines()
        return [line.removeprefix(f"{step.run}.finetune-") for line in lines if line.startswith(f"{step.run}.")]

    def running(self, step: SlurmStep, attempt: int = 1) -> bool:
        return f"{step.run}.finetune-a{attempt}" in self.own.say("squeue", "-h", "-t", "RUNNING", "-o", "%j").splitlines()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with (
        own_slurm("--with", "memory", "--with", "preemption", "--with", "haste") as own,
        ThreadPoolExecutor(12) as pool,
    ):
        try:
            yield Cluster(own, tmp_path_factory.mktemp("ends"), pool)
        finally:
            own.say("scancel", "--user=root")


def loses_its_node(cluster: Cluster) -> tuple[SlurmStep, Any]:
    step, ends = cluster.begin(FIRST_SLEEPS, options=(f"--nodelist={cluster.own.node(LOST)}",))
    until(lambda: cluster.running(step))
    cluster.own.lose(LOST)
    until(lambda: cluster.jobs(step)[:1] == ["a1|NODE_FAIL"])
    cluster.own.up()
    return step, ends.result()


def has_to_give_way(cluster: Cluster) -> tuple[SlurmStep, Any]:
    step, ends = cluster.begin(FIRST_SLEEPS, partition="low", options=("--exclusive",))
    until(lambda: cluster.running(step))
    cluster.own.say("sbatch", "-p", "high", "--exclusive", "--output=/dev/null", "--wrap", "sleep 5")
    return step, ends.result()


def is_cancelled(cluster: Cluster) -> tuple[SlurmStep, Any]:
    step, ends = cluster.begin(f"echo begins; sleep 600; {LEAVE}")
    until(lambda: cluster.running(step))
    cluster.own.say("scancel", f"--name={step.run}.finetune-a1")
    return step, ends.result()


def is_cancelled_in_the_queue(cluster: Cluster) -> tuple[SlurmStep, Any]:
    step, ends = cluster.begin(LEAVE, options=("--hold",))
    until(lambda: f"{step.run}.finetune-a1" in cluster.own.say("squeue", "-h", "-t", "PENDING", "-o", "%j"))
    cluster.own.say("scancel", f"--name={step.run}.finetune-a1")
    return step, ends.result()


def by_itself(script: str, timeout: str = "", **settings: Any) -> Callable[[Cluster], tuple[SlurmStep, Any]]:
    def end(cluster: Cluster) -> tuple[SlurmStep, Any]:
        step, ends = cluster.begin(script, timeout, **settings)
        return step, ends.result()

    return end


CASES = {
    "timeout": by_itself("echo begins; sleep 600", time="1m"),
    "timeout of the step": by_itself("echo begins; sleep 600", "1m", time="1h"),
    "memory": by_itself(GREEDY, mem="30M"),
    "exit:3": by_itself("echo no; exit 3"),
    "signal": by_itself("kill -9 $$"),
    "lost": loses_its_node,
    "preempted": has_to_give_way,
    "cancelled": is_cancelled,
    "cancelled in the queue": is_cancelled_in_the_queue,
    "queue limit": by_itself(LEAVE, options=("--hold",), queue_limit="4s"),
    "no directory": by_itself(LEAVE, options=("--chdir=/nonexistent/place", "--output=/nonexistent/log")),
}


@pytest.fixture(scope="module")
def ends(cluster: Cluster) -> Iterator[dict[str, Future[tuple[SlurmStep, Any]]]]:
    with ThreadPoolExecutor(len(CASES)) as pool:
        yield {name: pool.submit(partial(case, cluster)) for name, case in CASES.items()}


@pytest.mark.parametrize(
    ("case", "end", "said", "jobs"),
    [
        ("exit:3", "exit:3", "ended with exit code 3", ["a1|FAILED"]),
        ("memory", "memory", "was killed by Slurm: out of memory", ["a1|OUT_OF_MEMORY"]),
        ("cancelled", "cancelled", "was cancelled in Slurm", ["a1|CANCELLED by 0"]),
        ("cancelled in the queue", "cancelled", "was cancelled in Slurm", ["a1|CANCELLED by 0"]),
        ("queue limit", "timeout", "waited for 4s in the queue (JobHeldUser)", ["a1|CANCELLED by 0"]),
        ("no directory", "failed", "could not begin", ["a1|FAILED"]),
        ("timeout", "timeout", "was ended by Slurm: its time was up", ["a1|TIMEOUT"]),
        ("timeout of the step", "timeout", "was ended by Slurm: its time was up", ["a1|TIMEOUT"]),
    ],
)
def test_what_is_not_tried_again(
    cluster: Cluster, ends: dict[str, Future[tuple[SlurmStep, Any]]], case: str, end: str, said: str, jobs: list[str]
) -> None:
    step, error = ends[case].result()
    assert isinstance(error, LaunchError), error
    assert (error.end, said in error.message) == (end, True), error.message
    record = step.record
    assert (record["state"], record["end"], record["tries"]) == ("failed", end, 1)
    until(lambda: cluster.jobs(step) == jobs, 60)  # accounting hears late


@pytest.mark.parametrize(
    ("case", "end", "said", "jobs"),
    [
        ("lost", "lost", "was lost with its node", ["a1|NODE_FAIL", "a2|COMPLETED"]),
        ("preempted", "lost", "was ended by Slurm to make room for another job", ["a1|PREEMPTED", "a2|COMPLETED"]),
    ],
)
def test_what_is_another_job(
    cluster: Cluster, ends: dict[str, Future[tuple[SlurmStep, Any]]], case: str, end: str, said: str, jobs: list[str]
) -> None:
    step, training = ends[case].result()
    assert isinstance(training, Training), training
    (failure,) = step.record["failures"]
    assert (failure["end"], said in failure["error"]) == (end, True), failure["error"]
    assert step.record["tries"] == 2
    until(lambda: cluster.jobs(step) == jobs, 60)  # accounting hears late
    assert f"{step.run}.finetune-a2\n" in step.log


def test_a_command_that_is_killed_is_tried_as_often_as_it_may(cluster: Cluster, ends: dict[str, Future[tuple[SlurmStep, Any]]]) -> None:
    step, error = ends["signal"].result()
    assert error.end == "killed"
    until(lambda: cluster.jobs(step) == ["a1|FAILED", "a2|FAILED", "a3|FAILED"], 60)


def test_what_slurm_had_to_say_is_in_the_log(ends: dict[str, Future[tuple[SlurmStep, Any]]]) -> None:
    assert "DUE TO TIME LIMIT" in ends["timeout"].result()[0].log
    assert "begins\n" in ends["timeout"].result()[0].log
    assert "oom-kill" in ends["memory"].result()[0].log.lower()
