"""What a submission costs over a kept connection, beside sbatch alone on the same connection."""

from __future__ import annotations

import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import measure
from measure import Cost
from scenarios import Goal, Plan, Section

from builder.launch.interface import Job
from builder.launch.slurm.bastion import Bastion
from builder.launch.slurm.launcher import Slurm, cancel_all
from builder.launch.slurm.script import options
from builder.settings import SlurmSettings

_TITLE = "Submission to Slurm"
_NEEDED = {"BUILDER_TEST_SLURM", "BUILDER_TEST_SLURM_SSH"}
_OURS, _BARE, _AGAIN = "builder, from asked to submitted", "sbatch alone, its script on stdin", "builder, the job is there"
_TIMES = 7  # submissions for each round of the others: they take milliseconds


def section(plan: Plan, env: Mapping[str, str]) -> Section | None:
    """None where there is no Slurm."""
    if not set(env) >= _NEEDED:
        return None
    keys = Path(env["BUILDER_TEST_SLURM_SSH"])
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
        known = {"identity_file": str(keys / "user"), "known_hosts": str(keys / "known_hosts"), "options": ("--hold",)}
        settings = SlurmSettings(bastion=env["BUILDER_TEST_SLURM"], user="root", root=f"{name}/cluster", **known)  # type: ignore[arg-type]
        bastion = Bastion(settings)
        slurm = Slurm(bastion, f"bench-{uuid.uuid4().hex[:8]}")
        try:
            ways = _measured(plan, slurm, Path(name))
        finally:
            cancel_all(bastion, slurm.run)
            bastion.close()
    ratio = measure.median(ways[_OURS], _seconds) / measure.median(ways[_BARE], _seconds)
    plan.log(f"{_TITLE}: {ratio:.2f} x")
    text = (
        "In turn on one kept connection of asyncssh, of jobs that are held. Ours writes the job's files aside, renames them, takes a lock "
        "and submits, in one remote command; the commit's files (a few, hashed each time) are there, and what the partition has was "
        "asked before, as for every job but the first of a process. Who comes again for a job that is there submits nothing."
    )
    return Section(_TITLE, text, ways, [Goal("by sbatch alone", ratio, 2.0, "{:.2f} x")])


def _measured(plan: Plan, slurm: Slurm, folder: Path) -> dict[str, list[Cost]]:
    found: dict[str, list[Cost]] = {_OURS: [], _BARE: [], _AGAIN: []}
    slurm.submit(_job(folder, "first"))  # connects, asks what there is, brings the commit's files
    for number in plan.each(_TIMES * plan.rounds):
        job = _job(folder, f"step{number}")
        name = f"{slurm.run}.bare{number}-a1"
        bare = " ".join(["sbatch", *options(slurm.settings, name, str(folder))])
        found[_OURS].append(_timed(lambda job=job: slurm.submit(job)))  # type: ignore[misc]
        found[_BARE].append(_timed(lambda bare=bare: slurm.bastion.ask(bare, b"#!/bin/sh\ntrue\n")))  # type: ignore[misc]
        found[_AGAIN].append(_timed(lambda job=job: slurm.submit(job)))  # type: ignore[misc]
    return found


def _job(folder: Path, name: str) -> Job:
    code, base = folder / "code", folder / "out"
    code.mkdir(exist_ok=True)
    base.mkdir(exist_ok=True)
    (code / "train.py").write_text("print('trained')\n")
    (base / "config.yaml").write_text("lr: 1\n")
    return Job(name, ("python", "train.py"), code, base / f"{name}.log", base=base, inputs=(base / "config.yaml",))


def _timed(work: Callable[[], object]) -> Cost:
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - began, time.process_time() - cpu, 0)


def _seconds(cost: Cost) -> float:
    return cost.seconds
