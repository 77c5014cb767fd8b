"""The Slurm launcher where Slurm answers as it seldom does: what cannot be had from a real one within seconds."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from builder.errors import LaunchError
from builder.launch import Finished, Job
from builder.launch.slurm import launcher as module
from builder.launch.slurm import records
from builder.launch.slurm.bastion import Said
from builder.launch.slurm.launcher import Slurm
from builder.launch.slurm.snapshot import parse_look
from builder.launch.slurm.states import SEPARATOR
from builder.launch.slurm.submission import DOUBTFUL
from builder.settings import SlurmSettings

NAME = "run.step-a1"
SILENT = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"


class Scene:
    """A bastion whose commands are answered by their first words; `sbatch` takes its answers in turn."""

    name, patience = "cluster", 5.0
    settings = SlurmSettings(bastion="cluster", root="/shared")

    def __init__(self, squeue: str | None = "", sacct: str = "", end: str = "", log: bytes = b"", sbatch: tuple[Said, ...] = ()) -> None:
        self.squeue, self.sacct, self.end, self.log = squeue, sacct, end, log
        self.answers = list(sbatch)
        self.submitted, self.clock = 0, 1000

    def ask(self, command: str, stdin: bytes | BinaryIO = b"", stdout: BinaryIO | None = None, patience: float | None = None) -> Said:
        command = command.removeprefix("timeout -k 5 60 ")
        if " sbatch " in command:
            self.submitted += 1
            return self.answers.pop(0)
        if "printf" in command:
            self.clock += 20  # seconds, so that squeue has been asked since the look before
            queue = f"{self.clock} 0 {SILENT}\n" if self.squeue is None else f"{self.clock} {self.clock} \n{self.squeue}"
            log = self.log[int(command.partition("tail -c +")[2].split()[0]) - 1 :][: module._CHUNK]
            return Said(0, module._MARK.join([queue, "1", self.end, log.decode()]).encode(), b"")
        if command.startswith("squeue"):
            return Said(1, b"", SILENT.encode()) if self.squeue is None else Said(0, self.squeue.encode(), b"")
        if command.startswith("sacct"):
            return Said(0, self.sacct.encode(), b"") if self.sacct else Said(1, b"", b"Slurm accounting storage is disabled")
        return Said(1 if command.startswith("test -e") else 0, b"", b"")


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Scene], Slurm]:
    monkeypatch.setattr(records, "_SACCT_LAG", 0.0)
    monkeypatch.setattr(module.time, "sleep", lambda _: None)

    def made(scene: Scene) -> Slurm:
        slurm: Any = Slurm(scene, "run")  # type: ignore[arg-type]
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


def submit(slurm: Slurm) -> None:
    slurm._begin(NAME, "/shared/code/abc", io.BytesIO(), lambda: None)


def refused(text: str) -> Said:
    return Said(1, b"", f"sbatch: error: Batch job submission failed: {text}".encode())


@pytest.mark.parametrize("text", ["Unable to contact slurm controller (connect failure)", "Socket timed out on send/recv operation"])
def test_a_job_is_submitted_when_the_controller_is_back(launch: Callable[[Scene], Slurm], text: str) -> None:
    scene = Scene(sbatch=(refused(text), refused(text), Said(0, b"", b"")))
    submit(launch(scene))
    assert scene.submitted == 3


def test_a_submission_that_got_through_though_sbatch_said_otherwise(launch: Callable[[Scene], Slurm]) -> None:
    queue = SEPARATOR.join(("1", "PENDING", "N/A", "", "main", "None", NAME)) + "\n"
    for doubt in (refused("Socket timed out on send/recv operation"), Said(DOUBTFUL, b"", b""), Said(124, b"", b"")):
        scene = Scene(squeue=queue, sbatch=(doubt,))
        submit(launch(scene))
        assert scene.submitted == 1
        scene = Scene(sacct=f"1|TIMEOUT|0:0|{NAME}\n", sbatch=(doubt,))
        submit(launch(scene))
        assert scene.submitted == 1, "it has ended since"


def test_what_sbatch_refuses(launch: Callable[[Scene], Slurm]) -> None:
    scene = Scene(sbatch=(Said(1, b"", b"sbatch: error: invalid partition specified: x\nsbatch: error: Batch job submission failed: x"),))
    with pytest.raises(LaunchError, match="cluster: invalid partition specified: x; Batch job submission failed: x"):
        submit(launch(scene))
    scene = Scene(sbatch=(Said(127, b"", b"timeout: failed to run command 'sbatch': No such file or directory"),))
    with pytest.raises(LaunchError, match="failed to run command") as caught:
        submit(launch(scene))
    assert "on the PATH" in caught.value.hint


def test_a_refused_job_that_left_a_record_is_refused_again(launch: Callable[[Scene], Slurm]) -> None:
    queue = SEPARATOR.join(("1", "FAILED", "N/A", "", "main", "BadConstraints", NAME)) + "\n"
    scene = Scene(squeue=queue, sbatch=(Said(DOUBTFUL, b"", b""), refused("Requested node configuration is not available")))
    with pytest.raises(LaunchError, match="configuration is not available") as caught:
        submit(launch(scene))
    assert "more than the partition can ever give" in caught.value.hint


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
        ("CANCELLED by 0", "0:0", "cancelled"),
    ],
)
def test_ends_that_the_script_could_not_write(launch: Callable[[Scene], Slurm], state: str, exit_code: str, expected: str) -> None:
    ended = launch(Scene(sacct=f"1|{state}|{exit_code}|{NAME}\n")).poll(NAME, 0)
    assert ended is not None
    assert (ended.end, ended.timed_out) == (expected, expected == "timeout")
    assert f"(job 1, {state.split()[0]})" in ended.said
    queue = SEPARATOR.join(("1", state.split()[0], "N/A", "", "main", "None", NAME)) + "\n"
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
    for log in (b"1234", b"12345", b"123456789"):
        slurm = launch(Scene(end="0", log=log))
        assert slurm.poll(NAME, 0) == Finished(0)
        assert slurm._jobs[NAME].log.read_bytes() == log
        slurm._jobs[NAME].log.unlink()
