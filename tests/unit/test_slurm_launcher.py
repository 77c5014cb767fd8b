"""The Slurm launcher where Slurm answers as it seldom does: what cannot be had from a real one within seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from builder.errors import LaunchError
from builder.launch import Finished, Job
from builder.launch.slurm import launcher as module
from builder.launch.slurm.bastion import Said
from builder.launch.slurm.launcher import Slurm
from builder.launch.slurm.snapshot import parse_look
from builder.launch.slurm.states import SEPARATOR
from builder.settings import SlurmSettings

NAME = "run.step-a1"
SILENT = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"


class Scene:
    """A bastion whose commands are answered by their first words; `sbatch` takes its answers in turn."""

    name, patience = "cluster", 5.0
    settings = SlurmSettings(bastion="cluster", root="/shared")

    def __init__(
        self, squeue: str | None = "", sacct: str = "", end: str = "", log: bytes = b"", sbatch: tuple[Said | None, ...] = ()
    ) -> None:
        self.squeue, self.sacct, self.end, self.log = squeue, sacct, end, log
        self.answers = list(sbatch)
        self.submitted, self.clock = 0, 1000

    def ask(self, command: str, stdin: bytes | BinaryIO = b"", stdout: BinaryIO | None = None) -> Said:
        if "printf" in command:
            self.clock += 20  # seconds, so that squeue has been asked since the look before
            queue = f"{self.clock} 0 {SILENT}\n" if self.squeue is None else f"{self.clock} {self.clock} \n{self.squeue}"
            return Said(0, module._MARK.join([queue, "1", self.end, self.log.decode()]).encode(), b"")
        if command.startswith("squeue"):
            return Said(1, b"", SILENT.encode()) if self.squeue is None else Said(0, self.squeue.encode(), b"")
        if command.startswith("sacct"):
            return Said(0, self.sacct.encode(), b"") if self.sacct else Said(1, b"", b"Slurm accounting storage is disabled")
        return Said(0, b"", b"")

    def once(self, command: str, stdin: bytes = b"") -> Said:
        self.submitted += 1
        return self.answers.pop(0)


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Scene], Slurm]:
    monkeypatch.setattr(module, "_SACCT_LAG", 0.0)
    monkeypatch.setattr(module.time, "sleep", lambda _: None)

    def made(scene: Scene) -> Slurm:
        slurm: Any = Slurm(scene, "run", "abc")  # type: ignore[arg-type]
        slurm._jobs[NAME], slurm._read[NAME], slurm._born[NAME] = Job("step", ("true",), tmp_path, tmp_path / "log"), 0, 0
        return slurm  # type: ignore[no-any-return]

    return made


def test_a_controller_that_is_away_is_waited_for(launch: Callable[[Scene], Slurm]) -> None:
    scene, said = Scene(squeue=None, log=b"line\n"), []
    slurm = launch(scene)
    slurm.say = said.append
    assert slurm.poll(NAME, 0) is None
    assert said == ["the Slurm controller does not answer; the job may go on"]
    scene.end = "3"
    assert slurm.poll(NAME, 0) == Finished(3), "the script has written its end"


def test_a_job_is_submitted_when_the_controller_is_back(launch: Callable[[Scene], Slurm]) -> None:
    away = Said(1, b"", b"sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)")
    scene = Scene(sbatch=(away, away, Said(0, b"7\n", b"")))
    launch(scene)._sbatch(NAME, b"")
    assert scene.submitted == 3
    scene = Scene(sbatch=(Said(1, b"", b"sbatch: error: invalid partition specified: x\nsbatch: error: Batch job submission failed: x"),))
    with pytest.raises(LaunchError, match="cluster: invalid partition specified: x; Batch job submission failed: x"):
        launch(scene)._sbatch(NAME, b"")


def test_what_slurm_has_forgotten(launch: Callable[[Scene], Slurm]) -> None:
    assert launch(Scene(end="0")).poll(NAME, 0) == Finished(0)
    with pytest.raises(LaunchError, match="Slurm knows nothing of job") as caught:
        launch(Scene()).poll(NAME, 0)
    assert caught.value.end == "lost"


@pytest.mark.parametrize(
    ("state", "exit_code", "expected"),
    [
        ("OUT_OF_MEMORY", "0:125", "memory"),
        ("TIMEOUT", "0:0", "timeout"),
        ("NODE_FAIL", "0:0", "lost"),
        ("PREEMPTED", "0:0", "lost"),
        ("CANCELLED by 0", "0:0", "killed"),
    ],
)
def test_ends_that_the_script_could_not_write(launch: Callable[[Scene], Slurm], state: str, exit_code: str, expected: str) -> None:
    ended = launch(Scene(sacct=f"1|{state}|{exit_code}|{NAME}\n")).poll(NAME, 0)
    assert ended is not None
    assert (ended.end, ended.timed_out) == (expected, expected == "timeout")
    queue = SEPARATOR.join(("1", state.split()[0], "N/A", "n1", "main", "None", NAME)) + "\n"
    assert launch(Scene(squeue=queue, sacct=f"1|{state}|{exit_code}|{NAME}\n")).poll(NAME, 0) == ended
    assert launch(Scene(squeue=queue)).poll(NAME, 0) == ended, "without accounting"
    # a script that ends in time to say so was still killed
    assert launch(Scene(squeue=queue, end="143")).poll(NAME, 0) == ended


def test_a_job_that_is_younger_than_squeues_answer_is_not_gone(launch: Callable[[Scene], Slurm], monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(end="0")
    slurm = launch(scene)
    slurm._born.clear()
    assert slurm.poll(NAME, 0) is None, "the first look at it, at the very second of the answer"
    assert slurm.poll(NAME, 0) == Finished(0), "asked since then, squeue does not know it"


def test_an_answer_from_before_the_controller_went_away_is_none(launch: Callable[[Scene], Slurm], monkeypatch: pytest.MonkeyPatch) -> None:
    row = SEPARATOR.join(("1", "RUNNING", "N/A", "n1", "main", "None", NAME))
    scene, said, answers = Scene(), [], ["1000 990 \n", f"1000 990 {SILENT}\n", f"2000 990 {SILENT}\n"]
    slurm = launch(scene)
    slurm.say = said.append
    monkeypatch.setattr(module, "parse_look", lambda _: parse_look(f"{answers.pop(0)}{row}\n"))
    assert slurm.poll(NAME, 0) is None
    assert slurm.poll(NAME, 0) is None
    assert said == ["job 1 running on n1"]
    scene.end = "7"
    assert slurm.poll(NAME, 0) == Finished(7), "it does not run any more"


def test_a_job_that_accounting_alone_knows_goes_on(launch: Callable[[Scene], Slurm]) -> None:
    assert launch(Scene(sacct=f"1|RUNNING|0:0|{NAME}\n")).poll(NAME, 0) is None


def test_a_long_log_is_read_to_its_end_first(launch: Callable[[Scene], Slurm], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", 4)
    scene = Scene(end="0", log=b"1234")
    slurm = launch(scene)
    assert slurm.poll(NAME, 0) is None
    scene.log = b"5"
    assert slurm.poll(NAME, 0) == Finished(0)
    assert slurm._jobs[NAME].log.read_bytes() == b"12345"
