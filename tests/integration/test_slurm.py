"""The Slurm launcher against a real slurmctld, slurmd, slurmdbd and sshd."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.errors import AuthError, LaunchError
from builder.launch import Finished, Job, finish
from builder.launch.slurm.bastion import Bastion, Said
from builder.launch.slurm.code import Brought, bring_code, tree_of
from builder.launch.slurm.launcher import Slurm
from builder.launch.slurm.script import options
from builder.settings import SlurmSettings
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import SlurmServer

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(180)]

HOSTILE = ("$(touch /tmp/never); rm -rf x", "two\nlines", "'\"`\\", "{checkpoint}", "é ☃", "", "x" * 100_000)


@pytest.fixture
def settings(slurm: SlurmServer, tmp_path: Path) -> SlurmSettings:
    return slurm.settings(tmp_path / "cluster")


@pytest.fixture
def launch(settings: SlurmSettings) -> Iterator[Callable[..., Slurm]]:
    """Launchers of one run, each as a process of its own would have it."""
    run, made = f"run-{uuid.uuid4().hex[:8]}", []

    def launcher(**changes: Any) -> Slurm:
        made.append(Slurm(Bastion(replace(settings, **changes)), run))
        return made[-1]

    yield launcher
    for each in made:
        each.bastion.close()


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    """One that runs a shell script in the commit's tree, with a file to read and a directory to fill."""
    code, base = tmp_path / "code", tmp_path / "output"
    code.mkdir()
    (code / "greeting").write_text("hello\n")
    (base / "step").mkdir(parents=True)
    (base / "config.yaml").write_text("lr: 1\n")
    (base / "checkpoint").mkdir()

    def made(script: str, *words: str, attempt: int = 1, **more: Any) -> Job:
        known: dict[str, Any] = {"workdir": code, "log": base / "step/log", "base": base, "attempt": attempt}
        known |= {"inputs": (base / "config.yaml",), "outputs": (base / "checkpoint", base / "step/metrics.jsonl")}
        known |= {"variables": {"OUT": str(base / "checkpoint"), "METRICS": str(base / "step/metrics.jsonl")}}
        return Job("step", ("bash", "-c", script, "it", *words), **{**known, **more})

    return made


def jobs_of(slurm: SlurmServer, launcher: Slurm) -> list[str]:
    """The ids of all jobs there ever were of the run: squeue forgets soon, and accounting hears late."""
    found = slurm.say("squeue", "-h", "-t", "all", "-o", "%i|%j").splitlines()
    found += slurm.say("sacct", "-n", "-P", "-X", "-S", "now-1hours", "-o", "JobIDRaw,JobName").splitlines()
    return sorted({line.split("|")[0] for line in found if line.split("|")[1].startswith(f"{launcher.run}.")})


def test_a_command_runs_where_the_commits_files_are_and_leaves_what_it_wrote(launch: Any, job: Any) -> None:
    asked = job('cat greeting "$1" && echo 7 >"$OUT/weights" && echo "{}" >"$METRICS"', "CONFIG")
    asked = replace(asked, argv=(*asked.argv[:-1], str(asked.inputs[0])))
    assert finish(launch(), asked) == Finished(0)
    assert asked.log.read_text() == "hello\nlr: 1\n"
    assert (asked.outputs[0] / "weights").read_text() == "7\n"
    assert asked.outputs[1].read_text() == "{}\n"


def test_words_arrive_byte_for_byte_and_nothing_reads_them(launch: Any, job: Any) -> None:
    asked = job('printf "%s\\0" "$@" "$ODD"', *HOSTILE, variables={"ODD": HOSTILE[0] + HOSTILE[1]})
    assert finish(launch(), asked) == Finished(0)
    assert asked.log.read_bytes().decode().split("\0")[:-1] == [*HOSTILE, HOSTILE[0] + HOSTILE[1]]
    assert not Path("/tmp/never").exists()


def test_a_checkpoint_that_lies_elsewhere_in_the_tree(launch: Any, job: Any) -> None:
    """The newest directory that the settings' pattern matches; and nothing reads the pattern but as names of files."""
    made = "mkdir -p 'runs/a b' runs/c/last && echo old >'runs/a b/w' && sleep 1.1 && mkdir 'runs/a b/last' && echo new >'runs/a b/last/w'"
    asked = job(made)
    asked = replace(asked, sought={asked.outputs[0]: "runs/*/last"})
    assert finish(launch(), asked) == Finished(0)
    assert (asked.outputs[0] / "w").read_text() == "new\n"
    odd = replace(job("mkdir -p runs/last", attempt=2), sought={asked.outputs[0]: "$(touch /tmp/never)/`touch /tmp/never`/**; rm -rf x"})
    assert finish(launch(), odd) == Finished(0)
    assert not Path("/tmp/never").exists()


def test_how_it_ended(launch: Any, job: Any) -> None:
    assert finish(launch(), job("echo no; exit 3")) == Finished(3)
    assert finish(launch(), job("kill -9 $$", attempt=2)) == Finished(137)
    launcher = launch()
    handle = launcher.submit(job("sleep 60", attempt=3))
    assert launcher.poll(handle, 1.0) is None
    launcher.cancel(handle)
    assert launcher.poll(handle, 60.0).end == "cancelled"


def test_whoever_comes_again_finds_the_job(launch: Any, job: Any, slurm: SlurmServer) -> None:
    asked = job("for i in 1 2 3 4 5 6; do echo line $i; sleep 0.5; done; exit 4")
    first = launch()
    first.poll(first.submit(asked), 1.0)  # and its pod is killed
    second = launch()
    assert finish(second, asked) == Finished(4)
    assert asked.log.read_text().splitlines() == [f"line {number}" for number in range(1, 7)], "each once"
    assert finish(launch(), asked) == Finished(4), "it has ended long ago"
    assert len(jobs_of(slurm, second)) == 1
    assert finish(launch(), replace(asked, attempt=2)) == Finished(4)
    assert len(jobs_of(slurm, second)) == 2


def test_an_answer_that_is_lost_starts_no_second_job(launch: Any, job: Any, slurm: SlurmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher, asked, before, lost = launch(), job("echo once"), Bastion._run, []

    async def losing(self: Bastion, command: str, *streams: Any) -> Said:
        said = await before(self, command, *streams)
        if " sbatch " in command and said.code == 0 and not lost:
            lost.append(command)
            return Said(None, b"", b"")
        return said

    monkeypatch.setattr(Bastion, "_run", losing)
    assert finish(launcher, asked) == Finished(0)
    assert lost
    assert asked.log.read_text() == "once\n"
    assert len(jobs_of(slurm, launcher)) == 1


def test_of_two_who_submit_at_once_one_does(launch: Any, job: Any, slurm: SlurmServer) -> None:
    asked, launchers = job("echo once; sleep 1"), [launch() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        (name,) = set(pool.map(lambda launcher: launcher.submit(asked), launchers))
    assert len(jobs_of(slurm, launchers[0])) == 1
    assert launchers[0].poll(name, 60.0) == Finished(0)
    assert asked.log.read_text() == "once\n"


def test_of_two_jobs_with_one_name_one_works(launch: Any, job: Any, slurm: SlurmServer) -> None:
    launcher, asked = launch(), job("echo once; sleep 1")
    name = launcher.submit(asked)
    directory = Path(launcher._directory(name))
    words = options(launcher.settings, name, str(directory))
    slurm.say("sbatch", *words, str(directory / "script"))  # as if nobody had seen the other
    assert launcher.poll(name, 60.0) == Finished(0)
    assert asked.log.read_text() == "once\n"
    assert len(jobs_of(slurm, launcher)) == 2


def test_a_connection_that_drops_again_and_again(
    launch: Any, job: Any, settings: SlurmSettings, slurm: SlurmServer, tmp_path: Path
) -> None:
    host, _, port = settings.bastion.partition(":")
    proxy = Proxy((host, int(port)))
    known = tmp_path / "known_hosts"
    known.write_text(Path(settings.known_hosts).read_text().replace(f":{port} ", f":{proxy.port} "))
    launcher = launch(bastion=f"127.0.0.1:{proxy.port}", known_hosts=str(known))
    stop = threading.Event()

    def cutting() -> None:
        for _ in range(6):
            if stop.wait(0.8):
                return
            proxy.cut()

    thread = threading.Thread(target=cutting)
    thread.start()
    try:
        asked = job("for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.5; done; echo x >$OUT/weights")
        assert finish(launcher, asked) == Finished(0)
    finally:
        stop.set()
        thread.join()
        proxy.close()
    assert asked.log.read_text().splitlines() == [f"line {number}" for number in range(1, 9)]
    assert (asked.outputs[0] / "weights").exists()
    assert len(jobs_of(slurm, launcher)) == 1


def test_what_the_partition_can_never_give(launch: Any, job: Any, slurm: SlurmServer) -> None:
    for attempt, changes in enumerate(({"nodes": 32}, {"gpus_per_node": 9}, {"partition": "none"}), 1):
        launcher = launch(**changes)
        with pytest.raises(LaunchError, match=r"can never give|knows no partition") as caught:
            launcher.submit(job("true", attempt=attempt))
        assert "[launch.STEP.slurm]" in caught.value.hint


def test_busy_nodes_queue_and_say_so(launch: Any, job: Any, slurm: SlurmServer) -> None:
    said: list[str] = []
    holder = slurm.say("sbatch", "--parsable", "-N4", "--exclusive", "--output=/dev/null", "--wrap", "sleep 100")
    try:
        launcher = launch(nodes=4, options=("--exclusive",))
        launcher.say = said.append
        handle = launcher.submit(job("echo mine"))
        deadline = time.monotonic() + 30
        while not any("pending" in text for text in said):
            assert launcher.poll(handle, 0.5) is None
            assert time.monotonic() < deadline
    finally:
        slurm.say("scancel", holder)
    assert launcher.poll(handle, 60.0) == Finished(0)
    assert "running on n[1-4]" in said[-1] or len(said) >= 1


def test_who_is_let_in(launch: Any, job: Any, settings: SlurmSettings, tmp_path: Path) -> None:
    empty = tmp_path / "nobody"
    empty.touch()
    with pytest.raises(LaunchError, match="its host key is not in") as caught:
        launch(known_hosts=str(empty)).submit(job("true"))
    assert "ssh-keyscan" in caught.value.hint
    stranger = tmp_path / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger)], check=True)
    with pytest.raises(AuthError, match="permission denied"):
        launch(identity_file=str(stranger)).submit(job("true"))
    gone = launch(bastion="127.0.0.1:9")
    gone.bastion.patience = 1.0
    with pytest.raises(LaunchError, match=r"ssh to 127\.0\.0\.1:9"):
        gone.submit(job("true"))


def test_the_commits_files_are_brought_once_whole_and_are_nobodys_to_change(launch: Any, job: Any, settings: SlurmSettings) -> None:
    asked = job("echo changed >greeting; test -x tool")
    (asked.workdir / "tool").write_text("#!/bin/sh\n")
    (asked.workdir / "tool").chmod(0o755)
    (asked.workdir / "link").symlink_to("greeting")
    assert finish(launch(), asked) == Finished(0)
    (kept,) = (path for path in (Path(settings.root) / "code").iterdir() if path.name != "layers")
    assert (kept / "greeting").read_text() == "hello\n"
    assert stat.S_IMODE((kept / "tool").stat().st_mode) == 0o755
    assert str((kept / "link").readlink()) == "greeting"
    assert bring_code(launch().bastion, tree_of(asked.workdir)) == Brought(kept.name)


def test_of_a_change_that_is_sent_which_it_made_new(launch: Any, settings: SlurmSettings, tmp_path: Path) -> None:
    tree, bastion = tmp_path / "tree", launch().bastion
    for number in range(200):
        file = tree / f"package{number % 40}/part{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(2000))
    (tree / "weights").write_bytes(os.urandom(1 << 20))
    first = bring_code(bastion, tree_of(tree))
    assert first.size > 200 * 2000 + (1 << 20)
    changed = tree / "package7/part7.py"
    changed.write_text("changed\n")
    second = bring_code(bastion, tree_of(tree))
    assert (second.name != first.name, second.layers) == (True, 1)
    assert second.size < first.size / 20
    code = Path(settings.root) / "code"
    assert same_files(tree, code / second.name)
    assert (code / first.name / "package7/part7.py").read_bytes() != changed.read_bytes()
    assert (code / first.name / "weights").stat().st_ino == (code / second.name / "weights").stat().st_ino
    changed.unlink()
    changed.symlink_to("part47.py")
    assert bring_code(bastion, tree_of(tree)).layers == 1
    assert not [path.name for path in code.iterdir() if path.name.startswith(".")]


def same_files(one: Path, other: Path) -> bool:
    return not subprocess.run(["diff", "-r", "--no-dereference", str(one), str(other)], check=False, capture_output=True).stdout
