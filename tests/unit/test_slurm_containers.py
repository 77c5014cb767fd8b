"""What jobs say to pyxis, apptainer and charliecloud: with programs of these names that only write down their words."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.launch.slurm.containers import WAYS, enroot_name
from builder.launch.slurm.script import Attempt, beside, ended_as, script
from builder.settings import SlurmSettings

DIGEST = "a" * 64
IMAGE = f"registry.example.com:5000/team/agent@sha256:{DIGEST}"
FAKE = """#!/bin/bash
printf '%s\\0' "${0##*/}" "$@" end-of-call >>"$CALLS"
case "${0##*/} $1" in
  'enroot import') touch "$3" ;;
  'apptainer pull') touch "$2" ;;
esac
for word in "$@"; do last=$word; done
[ "$FAIL" != "${0##*/} $1" ] && [ "$FAIL" != "$last" ]
"""
ODD = 'it\'s $(touch never) "a;b"'
"""Part of the name of the cluster's directory."""


@pytest.fixture
def attempt(tmp_path: Path) -> Callable[..., Attempt]:
    """One whose files are all there, as launched; it moves checkpoints if told so."""

    def made(container: str, *, moves: bool = False, **settings: object) -> Attempt:
        root = tmp_path / ODD
        credentials = "~/keys of team" if moves else ""
        asked = SlurmSettings(root=str(root), container=container, s3_credentials=credentials, **settings)  # type: ignore[arg-type]
        directory, code = root / "runs/r/step-a1", root / "code/c"
        for path in (directory / "files", code):
            path.mkdir(parents=True, exist_ok=True)
        tool = f"{root}/tools/t" if moves else ""
        attempt = Attempt(str(directory), str(code), asked, IMAGE, "/my code", tool, brings=moves, takes=moves)
        for name, text in {**beside(attempt), "env": b"A=1\0", "argv": b"true\0"}.items():
            (directory / name).write_bytes(text)
        return attempt

    return made


@pytest.fixture
def calls(tmp_path: Path) -> Callable[..., list[list[str]]]:
    """Executes a job's script, and gives what the programs were told."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("srun", "enroot", "apptainer", "ch-run"):
        (programs / name).write_text(FAKE)
        (programs / name).chmod(0o755)

    def executed(attempt: Attempt, fail: str = "", expect: int = 0) -> list[list[str]]:
        log = tmp_path / "calls"
        log.unlink(missing_ok=True)
        environ = {"PATH": f"{programs}:/usr/bin:/bin", "CALLS": str(log), "FAIL": fail, "SLURM_JOB_ID": "7", "HOME": "/home/ada"}
        environ |= {"PYTHONPATH": "/elsewhere", "SLURM_PROCID": "0"}
        done = subprocess.run(["bash", "-s"], input=script(attempt), env=environ, capture_output=True, check=False, cwd=tmp_path)
        assert done.returncode == expect, done.stderr
        assert not list(tmp_path.rglob("never"))
        told = log.read_text().split("\0") if log.exists() else []
        found: list[list[str]] = [[]]
        for word in told[:-1]:
            found = [*found, []] if word == "end-of-call" else [*found[:-1], [*found[-1], word]]
        return found[:-1]

    return executed


def test_pyxis(attempt: Callable[..., Attempt], calls: Callable[..., list[list[str]]], tmp_path: Path) -> None:
    asked = attempt("pyxis")
    image = f"{asked.settings.root}/sqsh/{DIGEST}.sqsh"
    mounts = f"--container-mounts={asked.directory}:/builder-job,{asked.directory}/code:/my code"
    options = [f"--container-image={image}", "--no-container-mount-home", "--no-container-entrypoint", "--container-workdir=/my code"]
    imported, run = calls(asked)
    assert imported == ["enroot", "import", "--output", f"{image}.new.7", f"docker://registry.example.com:5000#team/agent:sha256:{DIGEST}"]
    assert run == ["srun", "--nodes=1", "--ntasks=1", *options, mounts, "bash", "-p", "/builder-job/task", "run", "0"]
    assert (Path(asked.directory) / "end").read_text() == "0\n"
    assert [word[0] for word in calls(asked)] == ["srun"], "the image is there by now"
    gang = calls(replace(asked, settings=replace(asked.settings, nodes=3)))
    words = gang[-1]
    assert words[:4] == ["srun", "--nodes=3", "--ntasks=3", "--ntasks-per-node=1"]
    assert [word for word in words if word.startswith(("--container", "--no-c"))] == [*options, mounts]
    assert words[-5:] == ["bash", "-p", "/builder-job/task", "run", "0"]
    assert "/builder-job/failed" in words[words.index("-c") + 1]


def test_apptainer(attempt: Callable[..., Attempt], calls: Callable[..., list[list[str]]]) -> None:
    asked = attempt("apptainer")
    image = f"{asked.settings.root}/sif/{DIGEST}.sif"
    binds = ["--bind", f"{asked.directory}:/builder-job", "--bind", f"{asked.directory}/code:/my code"]
    pulled, run = calls(asked)
    assert pulled == ["apptainer", "pull", f"{image}.new.7", f"docker://{IMAGE}"]
    fixed = ["apptainer", "exec", "--nv", "--containall", "--workdir", f"{asked.directory}/tmp.0"]
    assert run == [*fixed, *binds, "--pwd", "/my code", image, "bash", "-p", "/builder-job/task", "run", "0"]
    given = (Path(asked.directory) / "given.0").read_text().split("\0")
    assert "SLURM_JOB_ID=7" in given
    assert not [pair for pair in given if pair.startswith(("PATH=", "PYTHONPATH=", "HOME="))]


@pytest.mark.parametrize("container", sorted(WAYS))
def test_the_key_to_the_data_root_is_there_only_while_files_are_moved(
    attempt: Callable[..., Attempt], calls: Callable[..., list[list[str]]], container: str
) -> None:
    asked = attempt(container, moves=True)
    Path(asked.way.image(asked.settings.root, IMAGE)).mkdir(parents=True)  # type: ignore[union-attr]
    told = calls(asked)
    verbs = [words[words.index("/builder-job/task") + 1] for words in told]
    assert verbs == ["in", "run", "out"]
    keys = [[part for word in words for part in word.split(",") if "/home/ada/keys of team:/builder-credentials" in part] for words in told]
    assert [len(found) for found in keys] == [1, 0, 1]


@pytest.mark.parametrize(("fail", "end"), [("apptainer pull", "image"), ("in", "in"), ("out", "out")])
def test_what_fails_beside_the_command(
    attempt: Callable[..., Attempt], calls: Callable[..., list[list[str]]], fail: str, end: str, tmp_path: Path
) -> None:
    asked = attempt("apptainer", moves=True)
    if fail != "apptainer pull":  # the last word is the rank's number
        task = Path(asked.directory) / "enter"
        task.write_text(task.read_text().replace('"$1" "$rank"', '"$1"'))
    told = calls(asked, fail, expect=1)
    assert (Path(asked.directory) / "end").read_text() == f"{end}\n"
    assert ended_as(end).end == "stage"
    assert ended_as(end).said
    assert ("run" in [word for words in told for word in words]) == (end == "out")


@pytest.mark.parametrize(
    ("end", "left", "verbs"),
    [
        ("out\n", True, ["out"]),
        ("", True, ["out"]),  # its node was lost meanwhile
        ("", False, ["in", "run", "out"]),
        ("0\n", True, ["in", "run", "out"]),  # what was wrong with it is for others to say
        ("3\n", False, ["in", "run", "out"]),
    ],
)
def test_what_an_attempt_does_that_the_one_before_it_did(
    attempt: Callable[..., Attempt], calls: Callable[..., list[list[str]]], tmp_path: Path, end: str, left: bool, verbs: list[str]
) -> None:
    asked = attempt("apptainer", moves=True)
    Path(asked.way.image(asked.settings.root, IMAGE)).mkdir(parents=True)  # type: ignore[union-attr]
    before = tmp_path / ODD / "runs/r/step-a0"
    (before / "files/checkpoint").mkdir(parents=True)
    (before / "files/checkpoint/weights").touch()
    (before / "code").mkdir()
    if end:
        (before / "end").write_text(end)
    if left:
        (before / "left").touch()
    told = calls(replace(asked, previous=str(before)))
    assert [words[words.index("/builder-job/task") + 1] for words in told] == verbs
    assert (Path(asked.directory) / "files/checkpoint/weights").exists() == (verbs == ["out"])
    assert (Path(asked.directory) / "left").exists()


@pytest.mark.parametrize("container", [*sorted(WAYS), "none"])
@pytest.mark.parametrize("nodes", [1, 4])
def test_scripts_are_bash(attempt: Callable[..., Attempt], container: str, nodes: int) -> None:
    asked = attempt(container, moves=True, nodes=nodes, setup=("module load cuda",))
    for text in (script(asked), *beside(asked).values()):
        done = subprocess.run(["bash", "-n"], input=text, capture_output=True, check=False, env={"PATH": os.defpath})
        assert (done.returncode, done.stderr) == (0, b"")


def test_an_image_of_docker_hub_as_enroot_calls_it() -> None:
    assert enroot_name(f"team/agent@sha256:{DIGEST}") == f"docker://registry-1.docker.io#team/agent:sha256:{DIGEST}"
