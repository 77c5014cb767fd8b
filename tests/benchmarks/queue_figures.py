"""What waiting costs: requests of squeue while a thousand steps wait for their jobs, and the status of a thousand runs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import measure
from measure import Cost
from scenarios import Goal, Plan, Section

from builder.data.directory import DirectoryObjects
from builder.data.interface import Objects
from builder.data.open import open_root
from builder.data.threads import in_threads
from builder.launch.slurm.snapshot import look, parse_look
from builder.settings import SlurmSettings, seconds
from tests.fixtures.records import write_run

STEPS, RUNS = 1000, 1000
_GOING_ON = 5  # of the runs
_EVERY = 5.0  # seconds between two looks of a step, once it waits: the launcher's
_MINUTE = 60.0
_AT_ONCE = 8

_SQUEUE = "squeue calls per minute"
_STATUS = "Status of 1,000 runs"


def sections(plan: Plan, env: Mapping[str, str]) -> list[Section]:
    """Those whose servers are there."""
    found = [status(plan, env)]
    if {"BUILDER_TEST_SLURM", "BUILDER_TEST_SLURM_CONF"} <= set(env):
        found.append(squeue_calls(plan, env))
    return found


# --- squeue ---------------------------------------------------------------------------------------------------------------------------


def squeue_calls(plan: Plan, env: Mapping[str, str], steps: int = STEPS, period: float = _MINUTE) -> Section:
    """A thousand steps look at one job for a minute, with the remote command that steps send: on the machine that would be the bastion,
    as what is counted is what Slurm is asked, and a thousand ssh connections would measure this machine.
    """
    every = seconds(SlurmSettings().squeue_every)
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name, _job(env) as job:
        folder = Path(name)
        bastion = _bastion(folder, env)
        looks, seconds_each = _poll(folder / "root", job, bastion, every, steps, period)
        calls = (folder / "asked").read_text().splitlines()
    minute = len(calls) * _MINUTE / period
    text = (
        f"{steps:,} steps wait for one job in a queue of real Slurm: {looks:,} looks in {period:.0f} s, each one remote command that took "
        f"{1000 * seconds_each:.0f} ms here, with {_AT_ONCE} at once. `squeue` is a wrapper that counts. Every step asking by itself would "
        f"be {steps * _MINUTE / _EVERY:,.0f} calls a minute."
    )
    plan.log(f"{_SQUEUE}: {minute:.0f}")
    return Section(_SQUEUE, text, {}, [Goal(f"calls a minute with {steps:,} steps", minute, 2 * _MINUTE / every + 2, "{:.0f}")])


def _poll(root: Path, job: str, environ: Mapping[str, str], every: int, steps: int, period: float) -> tuple[int, float]:
    """How many looks there were, and the mean of what one took. Steps whose turn is overdue look as soon as they can."""
    command, end = look(str(root), job, every), time.monotonic() + period
    due, lock, spent = [time.monotonic() + _EVERY * number / steps for number in range(steps)], threading.Lock(), list[float]()

    def work() -> None:
        while time.monotonic() < end:
            with lock:
                first = min(range(steps), key=due.__getitem__)
                pause, due[first] = due[first] - time.monotonic(), max(due[first], time.monotonic()) + _EVERY
            time.sleep(min(max(0.0, pause), max(0.0, end - time.monotonic())))
            began = time.perf_counter()
            said = subprocess.run(["sh", "-c", command], env=environ, capture_output=True, text=True, check=True).stdout
            spent.append(time.perf_counter() - began)
            assert parse_look(said).jobs, f"the job was not seen: {said}"

    threads = [threading.Thread(target=work) for _ in range(_AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(spent), sum(spent) / len(spent)


def _bastion(folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Its environment, in which `squeue` counts."""
    (folder / "bin").mkdir()
    real = subprocess.run(["which", "squeue"], capture_output=True, text=True, check=True).stdout.strip()
    wrapper = folder / "bin/squeue"
    wrapper.write_text(f'#!/bin/sh\necho "$*" >>{folder}/asked\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    return {"PATH": f"{folder}/bin:/usr/bin:/bin", "SLURM_CONF": env["BUILDER_TEST_SLURM_CONF"]}


@contextlib.contextmanager
def _job(env: Mapping[str, str]) -> Iterator[str]:
    """The name of a job that waits."""
    name, environ = f"bench-{os.getpid()}.finetune-a1", {**os.environ, "SLURM_CONF": env["BUILDER_TEST_SLURM_CONF"]}
    words = ["sbatch", "--parsable", f"--job-name={name}", "--output=/dev/null", "--begin=now+1hour", "--wrap", "true"]
    number = subprocess.run(words, env=environ, capture_output=True, text=True, check=True).stdout.strip()
    try:
        yield name
    finally:
        subprocess.run(["scancel", number], env=environ, check=True)


# --- status ---------------------------------------------------------------------------------------------------------------------------


def status(plan: Plan, env: Mapping[str, str], runs: int = RUNS) -> Section:
    """`builder status --last 1000`, of runs that this machine has seen before, in a directory and in S3."""
    ways: dict[str, list[Cost]] = {}
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
        for way, folder, environ in _roots(Path(name), env, runs):
            argv = [sys.executable, "-m", "builder", "status", "--last", str(runs), "-o", "json"]
            listed = json.loads(measure.run(argv, cwd=folder, env=environ).stdout)
            assert len(listed) == runs, f"{way}: {len(listed)} runs"
            _make_older(Path(environ["XDG_CACHE_HOME"]))
            ways[way] = [measure.run(argv, cwd=folder, env=environ) for _ in plan.each(plan.rounds)]
            _clear(folder, environ)
    goals = [Goal(f"wall, {way}", measure.median(costs, lambda cost: cost.seconds), 1.0, "{:.2f} s") for way, costs in ways.items()]
    text = (
        f"`builder status --last {runs}` of a data root with {runs:,} runs of five records each, {_GOING_ON} of which go on. The others "
        "ended more than ten minutes ago, and this machine has read them before."
    )
    return Section(_STATUS, text, ways, goals)


def _roots(folder: Path, env: Mapping[str, str], runs: int) -> Iterator[tuple[str, Path, dict[str, str]]]:
    """What it is called, a directory with settings, and the environment."""
    made = _directory(folder / "directory", runs)
    environ = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode each start would compile every module anew
    yield "a directory", folder / "directory", environ
    if {"BUILDER_TEST_S3", "BUILDER_TEST_S3_KEY", "BUILDER_TEST_S3_SECRET", "BUILDER_TEST_S3_BUCKET"} <= set(env):
        keys = {"AWS_ACCESS_KEY_ID": env["BUILDER_TEST_S3_KEY"], "AWS_SECRET_ACCESS_KEY": env["BUILDER_TEST_S3_SECRET"]}
        environ |= {**keys, "AWS_DEFAULT_REGION": "us-east-1"}
        os.environ.update(keys, AWS_DEFAULT_REGION="us-east-1")
        place = f'[data]\nroot = "s3://{env["BUILDER_TEST_S3_BUCKET"]}/bench-{os.getpid()}"\nendpoint = "{env["BUILDER_TEST_S3"]}"\n'
        there = _settings(folder / "s3", place)
        in_threads(lambda found: there.put(found.key, made.get(found.key) or b""), list(made.list("ledger/")))
        yield "S3", folder / "s3", environ


def _directory(folder: Path, runs: int) -> DirectoryObjects:
    objects = _settings(folder, "")
    assert isinstance(objects, DirectoryObjects)
    scores = {"click": 0.5, "type": 0.6}
    for number in range(runs):
        state = "running" if number >= runs - _GOING_ON else "failed" if number % 5 == 0 else "succeeded"
        write_run(objects, f"finetune-{number:06x}", state, at=60 * number, commit=f"{number:040x}", scores=scores)
    return objects


def _settings(folder: Path, data: str) -> Objects:
    folder.mkdir()
    (folder / "builder.toml").write_text(f'[image]\nbase = "scratch"\n[flow.finetune]\ncommand = ["true"]\n{data}')
    from builder.settings import load

    found = load(folder, {}).data
    return open_root(found.root, folder, found.endpoint)


def _make_older(cache: Path) -> None:
    """By an hour, as nobody waits for ten minutes here."""
    for path in cache.rglob("*.json"):
        kept = json.loads(path.read_bytes())
        if isinstance(kept, dict) and "listed" in kept:
            kept["listed"] = [[key, size, modified - 3600] for key, size, modified in kept["listed"]]
            path.write_text(json.dumps(kept))


def _clear(folder: Path, environ: Mapping[str, str]) -> None:
    """A directory is gone by itself; of the bucket the objects are taken away."""
    from builder.settings import load

    found = load(folder, environ).data
    if found.root.startswith("s3://"):
        objects = open_root(found.root, folder, found.endpoint)
        objects.delete([entry.key for entry in objects.list()])


if __name__ == "__main__":  # these figures alone, on the terminal
    import report

    began = time.monotonic()
    quick = Plan(3, began + 600, lambda text: print(text, file=sys.stderr))
    for section in sections(quick, os.environ):
        print(f"{section.title}\n{section.text}\n{report.summary([section])}")
