"""What is sent to Slurm, and what is made of its answers: nothing here needs one."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from builder.launch import Finished
from builder.launch.slurm.script import Attempt, options, pairs, script, words
from builder.launch.slurm.snapshot import Look, parse_look
from builder.launch.slurm.states import SEPARATOR, JobState, finished, newest, parse_sacct, parse_squeue
from builder.settings import SlurmSettings

HOSTILE_REASON = "Nodes required for job are DOWN, DRAINED or reserved | for 'jobs' 7 1 2 $(x)"


def queue(*rows: tuple[str, ...]) -> str:
    return "".join(f"{SEPARATOR.join(row)}\n" for row in rows)


def test_what_squeue_says() -> None:
    text = queue(
        ("7", "PENDING", "2026-01-01T10:00:00", "", "gpu", HOSTILE_REASON, "run.step-a1"),
        ("8", "RUNNING", "2026-01-01T09:00:00", "n[1-4]", "gpu", "None", "a|b\x1c c"),
    )
    assert parse_squeue(f"{text}slurm_load_jobs error: x\n") == [
        JobState("7", "run.step-a1", "PENDING", HOSTILE_REASON, "2026-01-01T10:00:00", partition="gpu"),
        JobState("8", "a|b\x1c c", "RUNNING", nodes="n[1-4]", partition="gpu"),
    ]
    assert [job.is_waiting for job in parse_squeue(text)] == [True, False]
    assert all(job.is_open for job in parse_squeue(text))


def test_what_a_look_at_the_queue_shows() -> None:
    row = queue(("7", "PENDING", "N/A", "", "gpu", HOSTILE_REASON, "run.step-a1"))
    seen = parse_look(f"100 90 \n{row}7 3 17\n")
    (job,) = seen.jobs
    assert (seen.age, seen.error, job.place, job.waiting, job.starts, job.reason) == (10, "", 3, 17, "", HOSTILE_REASON)
    assert parse_look("100 0 slurm_load_jobs error: no controller\n") == Look(100, 0, "slurm_load_jobs error: no controller")
    assert parse_look("bash: command not found\n") == Look(0, 0, "bash: command not found")
    assert parse_look("").taken == 0
    assert parse_look(f"100 90 \n{row}a name with\n7 x 17\n9 1 1\n").jobs[0].place == 0


def test_what_sacct_says() -> None:
    (job,) = parse_sacct("12|CANCELLED by 0|0:0|run.step-a1\n")
    assert (job.state, job.exit, job.is_open) == ("CANCELLED", "0:0", False)


def test_of_several_the_newest_counts() -> None:
    jobs = parse_sacct("9|FAILED|1:0|x\n10|COMPLETED|0:0|x\n11|COMPLETED|0:0|y\n")
    found = newest(jobs, "x")
    assert found is not None
    assert found.id == "10"
    assert newest(jobs, "z") is None


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        ("COMPLETED", "0:0", Finished(0)),
        ("FAILED", "7:0", Finished(7)),
        ("FAILED", "0:9", Finished(-9)),
        ("FAILED", "", Finished(1)),
        ("TIMEOUT", "0:0", Finished(-15, timed_out=True, end="timeout")),
        ("OUT_OF_MEMORY", "0:125", Finished(-15, end="memory")),
        ("NODE_FAIL", "0:0", Finished(-15, end="lost")),
        ("PREEMPTED", "0:0", Finished(-15, end="lost")),
        ("CANCELLED", "0:0", Finished(-15, end="cancelled")),
    ],
)
def test_how_jobs_end(state: str, code: str, expected: Finished) -> None:
    assert finished(state, code) == expected


def test_what_sbatch_is_asked_for() -> None:
    settings = SlurmSettings(partition="gpu", nodes=32, gpus_per_node=8, mem="64G", time="90s", options=("--exclusive",))
    assert options(settings, "run.step-a1", "/shared/x")[5:] == [
        "--partition=gpu", "--nodes=32", "--gres=gpu:8", "--mem=64G", "--time=2", "--exclusive",
    ]  # fmt: skip
    assert options(SlurmSettings(), "n", "/d")[-1] == "--no-requeue"


def execute(tmp_path: Path, argv: list[str], environ: dict[str, str], job: str = "1", setup: tuple[str, ...] = (), nodes: int = 1) -> int:
    """Runs the batch script as Slurm would, in a directory with an unpleasant name."""
    directory, code = tmp_path / "it's $HOME", tmp_path / "code"
    for path in (directory, code):
        path.mkdir(exist_ok=True)
    (directory / "argv").write_bytes(words(argv))
    (directory / "env").write_bytes(pairs(environ))
    text = script(Attempt(str(directory), str(code), SlurmSettings(setup=setup, nodes=nodes)))
    return subprocess.run(["bash", "-s"], input=text, env={"SLURM_JOB_ID": job, "PATH": "/usr/bin:/bin"}, check=False).returncode


def test_the_script_runs_the_words_as_they_are(tmp_path: Path) -> None:
    odd = "$(touch never); 'x'\n\"y\""
    assert execute(tmp_path, ["sh", "-c", 'printf "%s|%s|%s" "$1" "$A" "$B"; exit 3', "it", odd], {"A": odd}, setup=("export B=set",)) == 3
    directory = tmp_path / "it's $HOME"
    assert (directory / "log").read_text() == f"{odd}|{odd}|set"
    assert (directory / "end").read_text() == "3\n"
    assert not list(tmp_path.rglob("never"))


def test_the_second_job_of_a_name_does_nothing(tmp_path: Path) -> None:
    assert execute(tmp_path, ["sh", "-c", "echo one"], {}, "1") == 0
    assert execute(tmp_path, ["sh", "-c", "echo two"], {}, "2") == 75
    assert (tmp_path / "it's $HOME/log").read_text() == "one\n"


def test_a_gang_is_begun_by_srun_on_every_node(tmp_path: Path) -> None:
    """With a `srun` that begins the words as often as it is told to: how the first one ended that failed is how the job ended."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "scontrol").write_text('#!/bin/sh\n[ "$1" = show ] && echo n7 || echo "NodeName=n7 NodeAddr=10.0.0.7 x=y"\n')
    begin = 'while [ "$1" != bash ]; do shift; done; for r in 0 1; do SLURM_PROCID=$r SLURM_NODEID=$r "$@" || code=99; done; exit $code\n'
    (tools / "srun").write_text(f"#!/bin/bash\n{begin}")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    says = 'echo "$RANK/$WORLD_SIZE $MASTER_ADDR:$MASTER_PORT $M"; exit $((RANK * 4))'
    environ = {"M": "x", "BUILDER_METRICS": "/shared/metrics"}
    setup = (f"export PATH={shlex.quote(str(tools))}:$PATH SLURM_JOB_NODELIST=n[7-8]", "unset SLURM_CPUS_PER_TASK")
    assert execute(tmp_path, ["sh", "-c", says + " #$BUILDER_METRICS"], environ, "7", setup, nodes=2) == 4
    assert (tmp_path / "it's $HOME/log").read_text() == "0/2 10.0.0.7:20007 x\n1/2 10.0.0.7:20007 x\n"


def test_one_node_is_no_gang() -> None:
    assert b"srun" not in script(Attempt("/d", "/c", SlurmSettings()))
    assert b"srun --nodes=32 --ntasks=32" in script(Attempt("/d", "/c", SlurmSettings(nodes=32)))
