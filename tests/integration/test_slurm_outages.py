"""What breaks between a step and its job, on a Slurm of its own: the job goes on, there is one of it, and its log arrives whole, once."""

from __future__ import annotations

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

from builder.errors import LaunchError
from builder.launch import Finished, Job, finish
from builder.launch.slurm import launcher as module
from builder.launch.slurm import records
from builder.launch.slurm.bastion import Bastion, Said
from builder.launch.slurm.launcher import Slurm, cancel_all
from tests.fixtures.own_slurm import OwnSlurm, own_slurm
from tests.fixtures.proxy import Proxy
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600), pytest.mark.xdist_group("slurm-outages")]

LINES = "for i in $(seq 12); do echo line $i; sleep 0.5; done"
LOG = [f"line {number}" for number in range(1, 13)]


@pytest.fixture(scope="module")
def own() -> Iterator[OwnSlurm]:
    with own_slurm("--with", "haste", "--with", "users") as made:
        yield made


@pytest.fixture(scope="module")
def without_accounting() -> Iterator[OwnSlurm]:
    with own_slurm("--with", "haste", "--without", "accounting") as made:
        yield made


@pytest.fixture
def slow_sacct(own: OwnSlurm) -> Iterator[Callable[[str], None]]:
    """Puts something before the sacct that whoever logs in gets."""
    sacct = own.commands / "sacct"

    def slowed(line: str) -> None:
        sacct.write_text(f'#!/bin/sh\n{line}\nexec /usr/bin/sacct "$@"\n')
        sacct.chmod(0o755)

    yield slowed
    sacct.unlink(missing_ok=True)


class Scene:
    """Launchers and jobs of one run, with a directory that every user can enter."""

    def __init__(self, own: OwnSlurm, directory: Path) -> None:
        self.own, self.directory, self.run = own, directory, f"run-{uuid.uuid4().hex[:8]}"
        self.settings = own.settings(directory / "cluster")
        self.said: list[str] = []
        self._made: list[Slurm] = []

    def launcher(self, **changes: Any) -> Slurm:
        settings = replace(self.settings, **changes)
        self._made.append(Slurm(Bastion(settings), self.run, say=self.said.append))
        return self._made[-1]

    def job(self, script: str, attempt: int = 1, name: str = "step", where: str = "here") -> Job:
        code, base = self.directory / "code", self.directory / where
        code.mkdir(exist_ok=True)
        (code / "greeting").write_text("hello\n")
        (base / "out").mkdir(parents=True, exist_ok=True)
        return Job(
            name,
            ("bash", "-c", script),
            code,
            base / "log",
            base=base,
            outputs=(base / "out",),
            variables={"OUT": str(base / "out")},
            attempt=attempt,
        )

    def jobs(self, *states: str) -> list[str]:
        """Names of this run's jobs."""
        words = ("-t", ",".join(states)) if states else ("-t", "all")
        return [line for line in self.own.say("squeue", "-h", *words, "-o", "%j").splitlines() if line.startswith(f"{self.run}.")]

    def close(self) -> None:
        for each in self._made:
            each.bastion.close()


@pytest.fixture
def scene(own: OwnSlurm, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(own, tmp_path)
    yield made
    made.close()


@pytest.fixture
def way(scene: Scene, tmp_path: Path) -> Iterator[tuple[Proxy, dict[str, str]]]:
    """A way to the bastion that can be cut, and the settings that lead there."""
    host, _, port = scene.settings.bastion.partition(":")
    proxy = Proxy((host, int(port)))
    known = tmp_path / "known_hosts"
    known.write_text(Path(scene.settings.known_hosts).read_text().replace(f":{port} ", f":{proxy.port} "))
    yield proxy, {"bastion": f"127.0.0.1:{proxy.port}", "known_hosts": str(known)}
    proxy.close()


def submissions(scene: Scene) -> int:
    """How many jobs there ever were of the run."""
    found = set(scene.own.say("squeue", "-h", "-t", "all", "-o", "%i|%j").splitlines())
    found |= set(scene.own.say("sacct", "-n", "-P", "-X", "-S", "now-1hours", "-o", "JobIDRaw,JobName").splitlines())
    return len({line for line in found if line.split("|")[1].startswith(f"{scene.run}.")})


# --- the connection -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["before the answer", "after it was given"])
@pytest.mark.parametrize("point", range(5))
def test_a_connection_that_drops_while_a_job_is_submitted(
    scene: Scene, way: tuple[Proxy, dict[str, str]], monkeypatch: pytest.MonkeyPatch, point: int, after: bool
) -> None:
    """At each command of a submission: looking for the job, at the partition, submitting, asking for layers, sending them."""
    proxy, there = way
    before, commands = Bastion._run, []

    async def cut(self: Bastion, command: str, *streams: Any) -> Said:
        commands.append(command)
        hit = len(commands) == point + 1
        if hit and not after:
            threading.Timer(0.002, proxy.cut).start()
        said = await before(self, command, *streams)
        if hit and after:
            proxy.cut()
            return Said(None, b"", b"")
        return said

    monkeypatch.setattr(Bastion, "_run", cut)
    assert finish(scene.launcher(**there), scene.job("echo once; cat greeting >$OUT/x")) == Finished(0)
    assert len(commands) > point + 1
    assert (scene.directory / "here/log").read_text() == "once\n"
    assert (scene.directory / "here/out/x").read_text() == "hello\n"
    assert submissions(scene) == 1


def test_a_connection_that_drops_in_the_middle_of_a_log(
    scene: Scene, way: tuple[Proxy, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the log is on its way, and when it has arrived and nobody has heard; each time it takes a new connection, or two."""
    proxy, there = way
    before, looks = Bastion._run, []

    async def cut(self: Bastion, command: str, *streams: Any) -> Said:
        if "tail -c" not in command:
            return await before(self, command, *streams)
        looks.append(command)
        number = len(looks)
        if number in (2, 6, 11):
            threading.Timer(0.01, proxy.cut).start()
        said = await before(self, command, *streams)
        if number in (4, 8):
            proxy.cut()
            return Said(None, said.out, b"")
        return said

    monkeypatch.setattr(Bastion, "_run", cut)
    big = "head -c 9000000 /dev/zero | tr '\\0' x | fold -w 99; echo; echo end"
    assert finish(scene.launcher(**there), scene.job(f"{LINES}; {big}")) == Finished(0)
    lines = (scene.directory / "here/log").read_text().splitlines()
    assert lines[:12] == LOG
    assert (len("".join(lines[12:-1])), lines[-1]) == (9_000_000, "end")
    assert len(looks) > 8
    assert submissions(scene) == 1


def test_a_bastion_that_is_away_for_longer_than_anybody_tries_to_reach_it(scene: Scene) -> None:
    """A step that looks at its job waits for it; one that submits gives up, and says so."""
    launcher = scene.launcher()
    name = launcher.submit(scene.job(LINES))
    launcher.bastion.patience = 0.5
    scene.own.end("sshd")
    try:
        launcher.bastion._wait(launcher.bastion._forget())
        assert launcher.poll(name, 4.0) is None
        assert any("the job may go on, and so does the waiting" in text for text in scene.said)
        other = scene.launcher()
        other.bastion.patience = 0.5
        with pytest.raises(LaunchError, match="ssh to") as caught:
            other.submit(scene.job("true", name="other"))
        assert caught.value.end == "failed", "nobody may begin another job beside it"
    finally:
        scene.own.up()
    assert until(lambda: launcher.poll(name, 1.0)) == Finished(0)
    assert (scene.directory / "here/log").read_text().splitlines() == LOG


# --- the controller -------------------------------------------------------------------------------------------------------------------


def test_a_controller_that_starts_anew_keeps_the_jobs(scene: Scene) -> None:
    launcher, held = scene.launcher(), scene.launcher(options=("--hold",))
    name, waiting = launcher.submit(scene.job(LINES)), held.submit(scene.job("echo late", name="held", where="held"))
    scene.own.end("ctld")
    scene.own.up()
    assert launcher.poll(name, 120.0) == Finished(0)
    assert (scene.directory / "here/log").read_text().splitlines() == LOG
    assert held.poll(waiting, 0.0) is None
    scene.own.say("scontrol", "release", scene.own.say("squeue", "-h", f"--name={waiting}", "-o", "%i"))
    assert held.poll(waiting, 120.0) == Finished(0)
    assert submissions(scene) == 2


def test_a_controller_that_is_away_while_a_job_is_submitted_and_while_it_runs(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENT", 2)
    launcher, asked = scene.launcher(), scene.job(f"{LINES}; exit 4")
    launcher._was_submitted(f"{scene.run}.none")  # what the partition has is known
    scene.own.end("ctld")
    with ThreadPoolExecutor(1) as pool:
        submitting = pool.submit(launcher.submit, asked)
        until(lambda: records.AWAY in scene.said, 120)
        scene.own.up()
        name = submitting.result()
    until(lambda: scene.jobs("RUNNING"), 60)
    scene.own.end("ctld")
    scene.said.clear()
    try:
        assert launcher.poll(name, 240.0) == Finished(4), "its script has said so"
    finally:
        scene.own.up()
    assert (scene.directory / "here/log").read_text().splitlines() == LOG
    assert finish(scene.launcher(), asked) == Finished(4), "whoever comes again hears the same"
    assert submissions(scene) == 1


# --- what Slurm remembers -------------------------------------------------------------------------------------------------------------


def test_whoever_comes_when_squeue_has_forgotten_the_job(scene: Scene) -> None:
    asked = scene.job("echo once; exit 6")
    name = scene.launcher().submit(asked)
    until(lambda: (scene.directory / "cluster/runs" / scene.run / "step-a1/end").exists())
    until(lambda: not scene.jobs(), 120)
    for launcher in (scene.launcher(), scene.launcher()):
        assert finish(launcher, asked) == Finished(6)
        assert asked.log.read_text() == "once\n"
    (scene.directory / "cluster/runs" / scene.run / "step-a1/submitted").unlink()  # as if its bastion had died in between
    assert finish(scene.launcher(), asked) == Finished(6)
    assert submissions(scene) == 1
    assert name == f"{scene.run}.step-a1"


def test_without_accounting(without_accounting: OwnSlurm, tmp_path: Path) -> None:
    """Then the script's own files are all there is, once squeue has forgotten the job."""
    scene = Scene(without_accounting, tmp_path)
    try:
        assert finish(scene.launcher(), scene.job("echo a; exit 5")) == Finished(5)
        cancelled, held = scene.launcher(), scene.launcher(options=("--hold",))
        handle = cancelled.submit(scene.job("sleep 600", name="cancelled"))
        until(lambda: scene.jobs("RUNNING"))
        cancelled.cancel(handle)
        assert until(lambda: cancelled.poll(handle, 5.0), 120).end == "cancelled"
        gone = scene.job("exit 7", name="gone", where="gone")
        held.cancel(held.submit(gone))
        until(lambda: not scene.jobs(), 120)
        (tmp_path / "cluster/runs" / scene.run / "step-a1/submitted").unlink()
        assert finish(scene.launcher(), scene.job("exit 7")) == Finished(5), "it is not done again"
        with pytest.raises(LaunchError, match="Slurm knows nothing of job") as caught:
            finish(scene.launcher(), gone)
        assert caught.value.end == "lost"
    finally:
        scene.close()


def test_a_sacct_that_is_slow_and_one_that_hangs(scene: Scene, slow_sacct: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scene.job("echo once; exit 6")
    slow_sacct("sleep 4")
    assert finish(scene.launcher(), asked) == Finished(6)
    until(lambda: not scene.jobs(), 120)
    monkeypatch.setattr(records, "_SLOWEST", 2)
    for line in ("sleep 600", "kill -STOP $$"):
        slow_sacct(line)
        (scene.directory / "cluster/runs" / scene.run / "step-a1/submitted").unlink(missing_ok=True)
        assert finish(scene.launcher(), asked) == Finished(6), "its script has said so"
    hung = ["pgrep", "-f", f"{scene.own.commands}/sacct"]
    until(lambda: subprocess.run(hung, capture_output=True).returncode == 1, 60)
    assert submissions(scene) == 1


def test_200_jobs_in_the_queue(scene: Scene) -> None:
    launcher = scene.launcher(partition="short", cpus=16, time="1m")
    names = [launcher.submit(scene.job("echo $SLURM_JOB_NAME", name=f"step{number}", where=str(number))) for number in range(200)]
    assert len(scene.jobs("PENDING")) >= 150
    began = time.monotonic()
    assert launcher.poll(names[-1], 0.0) is None
    assert time.monotonic() - began < 30
    assert launcher.poll(names[0], 120.0) == Finished(0)
    assert (scene.directory / "0/log").read_text() == f"{names[0]}\n"
    cancel_all(launcher.bastion, scene.run)
    until(lambda: not scene.jobs("RUNNING", "PENDING", "COMPLETING"), 60)
    assert until(lambda: launcher.poll(names[-1], 1.0), 60).end == "cancelled"
    assert submissions(scene) == 200


# --- people ---------------------------------------------------------------------------------------------------------------------------


def test_two_people_with_the_same_commit_and_root(own: OwnSlurm, tmp_path: Path) -> None:
    """Each as a user of the cluster, in a root that both may write to: the commit's files are brought once, and each has a job."""
    shared = own.home / f"shared-{uuid.uuid4().hex[:8]}"
    shared.mkdir()
    shared.chmod(0o1777)
    scenes = []
    for user in own.users:
        (tmp_path / user).mkdir()
        made = Scene(own, tmp_path / user)
        made.settings = replace(made.settings, user=user, root=str(shared))
        scenes.append(made)
    try:
        with ThreadPoolExecutor(4) as pool:
            script = "id -un; cat greeting; echo changed >greeting; echo x >$OUT/x"
            work = [pool.submit(finish, each.launcher(), each.job(script, where=where)) for where in ("here", "there") for each in scenes]
            assert [each.result() for each in work] == [Finished(0)] * 4
        for user, each in zip(own.users, scenes, strict=True):
            assert submissions(each) == 1
            for where in ("here", "there"):
                assert (each.directory / where / "out/x").read_text() == "x\n"
                assert (each.directory / where / "log").read_text() == f"{user}\nhello\n"
        trees = [path for path in (shared / "code").iterdir() if path.name != "layers"]
        assert len(trees) == 1
        assert (trees[0] / "greeting").read_text() == "hello\n"
        first, second = (each.launcher() for each in scenes)
        name = first.submit(scenes[0].job("sleep 600", name="mine", where="mine"))
        until(lambda: scenes[0].jobs("RUNNING"))
        second.cancel(name)
        assert scenes[0].jobs("RUNNING") == [name], "nobody ends another's job"
        first.cancel(name)
    finally:
        for each in scenes:
            each.close()
