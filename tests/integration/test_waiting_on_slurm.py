"""What waiting for jobs costs, and what is known of them meanwhile: on a real Slurm."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builder.launch.slurm.snapshot import Look, look, parse_look
from tests.fixtures.servers import SlurmServer
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]


@pytest.fixture
def submitted(slurm: SlurmServer) -> Iterator[Callable[..., str]]:
    """Submits a job that sleeps, and gives its number. It is cancelled at the end."""
    numbers: list[str] = []

    def submit(name: str, *options: str, sleep: int = 600) -> str:
        words = ("--parsable", f"--job-name={name}", "--output=/dev/null", *options, "--wrap", f"sleep {sleep}")
        numbers.append(slurm.say("sbatch", *words))
        return numbers[-1]

    yield submit
    for number in numbers:
        slurm.say("scancel", number)


@pytest.fixture
def name() -> str:
    return f"run-{uuid.uuid4().hex[:8]}.step-a1"


class Bastion:
    """Looks at the queue as steps do, with a `squeue` that counts how often it is asked, and can be made to fail."""

    def __init__(self, folder: Path, slurm: SlurmServer) -> None:
        self.root, self._bin, self._asked = folder / "root", folder / "bin", folder / "asked"
        self._slurm, self.broken = slurm, folder / "broken"
        self._bin.mkdir()
        fails = f'[ ! -e {self.broken} ] || {{ echo "no controller" >&2; exit 1; }}'
        text = f'#!/bin/sh\necho "$*" >>{self._asked}\n{fails}\nexec {_squeue()} "$@"\n'
        (self._bin / "squeue").write_text(text)
        (self._bin / "squeue").chmod(0o755)

    def look(self, name: str, age: int = 600) -> Look:
        environ = {"PATH": f"{self._bin}:/usr/bin:/bin", "SLURM_CONF": str(self._slurm.conf)}
        done = subprocess.run(["sh", "-c", look(str(self.root), name, age)], env=environ, capture_output=True, text=True, check=True)
        return parse_look(done.stdout)

    @property
    def asked(self) -> list[str]:
        return self._asked.read_text().splitlines() if self._asked.exists() else []


def _squeue() -> str:
    return subprocess.run(["which", "squeue"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def bastion(tmp_path: Path, slurm: SlurmServer) -> Bastion:
    return Bastion(tmp_path, slurm)


def test_squeue_is_asked_once_however_many_look(bastion: Bastion, submitted: Callable[..., str], name: str) -> None:
    number = submitted(name)
    with ThreadPoolExecutor(8) as pool:
        looks = list(pool.map(bastion.look, [name] * 200))
    assert {job.id for seen in looks for job in seen.jobs} == {number}
    assert all(seen.taken and len(seen.jobs) == 1 for seen in looks)
    assert len([words for words in bastion.asked if "--me" in words]) == 1
    assert len(bastion.asked) <= 2, "the second is for the places of those that wait"


def test_who_finds_it_too_old_asks_again(bastion: Bastion, submitted: Callable[..., str], name: str) -> None:
    first = bastion.look(name)
    number = submitted(name)
    again = bastion.look(name)
    assert (again.taken, again.jobs) == (first.taken, ()), "nobody asked since"
    time.sleep(1.1)
    assert [job.id for job in bastion.look(name, 1).jobs] == [number]
    assert bastion.look(name).taken > first.taken


def test_a_squeue_that_fails_leaves_what_it_said_before(bastion: Bastion, submitted: Callable[..., str], name: str) -> None:
    bastion.broken.touch()
    assert bastion.look(name, 1).taken == 0
    bastion.broken.unlink()
    number = submitted(name)
    time.sleep(1.1)
    before = bastion.look(name, 1)
    bastion.broken.touch()
    time.sleep(1.1)
    after, asked = bastion.look(name, 1), len(bastion.asked)
    assert (after.taken, after.error, [job.id for job in after.jobs]) == (before.taken, "no controller", [number])
    assert bastion.look(name, 600).taken == before.taken
    assert len(bastion.asked) == asked, "nor is it asked more often"
    bastion.broken.unlink()
    time.sleep(1.1)
    assert bastion.look(name, 1).error == ""


@pytest.fixture
def partition(slurm: SlurmServer) -> Iterator[str]:
    """Of one node, in which nobody else waits."""
    made = f"made{uuid.uuid4().hex[:6]}"
    slurm.say("scontrol", "create", f"PartitionName={made}", "Nodes=n2", "MaxTime=10")
    yield made
    until(lambda: not slurm.say("squeue", "-h", "-p", made))
    slurm.say("scontrol", "delete", f"PartitionName={made}")


def test_place_reason_and_start_of_what_waits(
    partition: str, bastion: Bastion, submitted: Callable[..., str], slurm: SlurmServer, name: str
) -> None:
    holder = submitted("holder", "-N1", "--exclusive", "-p", partition, "-t", "5")
    until(lambda: slurm.say("squeue", "-h", "-j", holder, "-o", "%T") == "RUNNING")
    for other in ("first", "second"):
        submitted(other, "-N1", "--exclusive", "-p", partition, "-t", "1")
    submitted(name, "-N1", "--exclusive", "-p", partition, "-t", "1")
    submitted("last", "-N1", "--exclusive", "-p", partition, "-t", "1")
    submitted("held", "-N1", "--hold", "-p", partition, "-t", "1")

    def seen() -> Look | None:
        time.sleep(1.1)
        found = bastion.look(name, 1)
        return found if found.jobs and found.jobs[0].starts else None

    (job,) = until(seen).jobs
    assert (job.state, job.partition, job.place, job.waiting) == ("PENDING", partition, 3, 4), "held jobs are in nobody's way"
    assert job.reason in ("Priority", "Resources")
