"""A command on several nodes of a real Slurm at once: its ranks find each other, and end together."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.launch import Finished, Job, finish
from builder.launch.slurm.bastion import Bastion
from builder.launch.slurm.launcher import Slurm
from tests.fixtures.ranks import MEET
from tests.fixtures.servers import SlurmServer
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]


@pytest.fixture
def launch(slurm: SlurmServer, tmp_path: Path) -> Iterator[Callable[..., Slurm]]:
    """Launchers of gangs of four nodes with eight GPUs each, which nobody else is to have meanwhile."""
    run, made = f"run-{uuid.uuid4().hex[:8]}", []

    def launcher() -> Slurm:
        settings = slurm.settings(tmp_path / "cluster", nodes=4, gpus_per_node=8)
        made.append(Slurm(Bastion(settings), run))
        return made[-1]

    yield launcher
    for each in made:
        for name in each._jobs:
            each.cancel(name)
        each.bastion.close()


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    """One that runs a Python program on every node."""
    code, base = tmp_path / "code", tmp_path / "output"
    code.mkdir()
    for name in ("checkpoint", "step"):
        (base / name).mkdir(parents=True)

    def made(program: str, name: str = "train", attempt: int = 1) -> Job:
        (code / "program.py").write_text(program)
        out = {"OUT": str(base / "checkpoint"), "BUILDER_METRICS": str(base / "step/metrics.jsonl")}
        outputs = (base / "checkpoint", base / "step/metrics.jsonl")
        argv = (sys.executable, "program.py")
        return Job(name, argv, code, base / f"step/{name}", variables=out, base=base, outputs=outputs, attempt=attempt)

    return made


def test_the_ranks_meet_and_rank_0_leaves_what_counts(launch: Any, job: Any) -> None:
    asked = job(MEET)
    assert finish(launch(), asked) == Finished(0), asked.log.read_text()
    told = json.loads((asked.outputs[0] / "ranks.json").read_text())
    assert [found["RANK"] for found in told] == ["0", "1", "2", "3"]
    assert [found["node"] for found in told] == ["n1", "n2", "n3", "n4"]
    for rank, found in enumerate(told):
        assert found["NODE_RANK"] == found["PET_NODE_RANK"] == str(rank)
        assert found["NNODES"] == found["PET_NNODES"] == found["WORLD_SIZE"] == "4"
        assert (found["GPUS_PER_NODE"], found["PET_NPROC_PER_NODE"]) == ("8", "8")
        assert found["MASTER_ADDR"] == found["PET_MASTER_ADDR"] == told[0]["MASTER_ADDR"]
        assert found["gpus"] == "0,1,2,3,4,5,6,7"
    assert asked.outputs[1].read_text() == "rank 0\n", "the metrics of one rank are those of the run"
    assert sorted(asked.log.read_text().splitlines()) == [f"{rank}: rank {rank} of 4 has met the others" for rank in range(4)]


def test_one_rank_that_fails_ends_all_and_its_code_is_the_jobs(launch: Any, job: Any, slurm: SlurmServer) -> None:
    launcher, gang = launch(), job("import os, sys, time\nif os.environ['RANK'] == '2':\n    sys.exit(9)\ntime.sleep(600)\n")
    assert finish(launcher, gang) == Finished(9)
    (name,) = launcher._jobs
    asked = ("sacct", "-n", "-P", "-X", f"--name={name}", "-S", "now-1days", "-o", "State,ExitCode")
    until(lambda: slurm.say(*asked) == "FAILED|9:0")  # accounting hears of it late


def test_a_second_gang_waits_for_the_first_and_a_gang_is_ended_as_a_whole(launch: Any, job: Any) -> None:
    first, second, said = launch(), launch(), []
    second.say = said.append
    endless = replace(job("import time\nprint('begun', flush=True)\ntime.sleep(600)\n"), workdir=job(MEET).workdir)
    (endless.workdir / "wait.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(600)\n")
    before = first.submit(replace(endless, argv=(sys.executable, "wait.py")))
    until(lambda: first.poll(before, 1.0) is None and endless.log.read_text().count("begun") == 4)
    after = job(MEET, "later")
    waiting = second.submit(after)
    until(lambda: second.poll(waiting, 0.5) is None and any("pending" in text for text in said))
    assert not after.log.read_text()
    first.cancel(before)
    ended = until(lambda: first.poll(before, 60.0))
    assert ended.end == "cancelled"
    assert until(lambda: second.poll(waiting, 60.0)) == Finished(0), after.log.read_text()
