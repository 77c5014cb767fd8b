"""The verbs, as a job of Slurm. Each attempt of a step has one name: whoever comes again with it finds the job, and starts no second."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from builder.errors import LaunchError
from builder.launch.interface import Finished, Job
from builder.launch.looks import looked_at
from builder.launch.slurm import staging
from builder.launch.slurm.admission import Admission
from builder.launch.slurm.attempt import Environment, Places, files_of
from builder.launch.slurm.bastion import Bastion, DroppedError
from builder.launch.slurm.code import CODE, bring_code, tree_of
from builder.launch.slurm.endings import could_not_begin, ending
from builder.launch.slurm.records import AWAY, Records
from builder.launch.slurm.script import ended_as, options
from builder.launch.slurm.snapshot import Look, look, parse_look
from builder.launch.slurm.states import SQUEUE, JobState, newest, parse_squeue
from builder.launch.slurm.submission import CODE_MISSING, DOUBTFUL, TAKEN, begin, hint, is_silent, refusal
from builder.settings import SlurmSettings, seconds

_LAST_WORDS = 20  # lines
_ENDING = 2  # seconds: so old may squeue's answer be about a job whose script has ended
_SILENT = 60  # seconds after which an old answer of squeue is none, over those that it may be old
_TERMINATED = "143"  # 128 + SIGTERM: Slurm may have ended it, and knows why
_MARK = "\n--builder--\n"
_CHUNK = 4 << 20  # bytes of log at once

Say = Callable[[str], None]
Heard = Callable[[JobState, str], None]


@dataclass(frozen=True, slots=True)
class _Told:
    """What one look shows. `held` is the number of the job that took the lock, `end` the exit code that its script wrote, each empty until
    then; `log` is what is new of the log.
    """

    seen: Look
    held: str
    end: str
    log: bytes


@dataclass
class Slurm:
    """Jobs of one run. `say` is told what one waits for, `heard` at each look how the job stands, and where its log is on the cluster.

    `echo`: what jobs write goes to this process's stdout, too.
    """

    bastion: Bastion
    run: str
    environment: Environment = field(default_factory=Environment)
    say: Say = lambda _: None
    heard: Heard = lambda _job, _log: None
    echo: bool = False
    outlives = True
    _jobs: dict[str, Job] = field(default_factory=dict)
    _read: dict[str, int] = field(default_factory=dict)
    _born: dict[str, int] = field(default_factory=dict)
    _ending: set[str] = field(default_factory=set)
    _waiting: dict[str, float] = field(default_factory=dict)
    _admission: Admission | None = None
    _said: str = ""

    @property
    def settings(self) -> SlurmSettings:
        return self.bastion.settings

    @property
    def _records(self) -> Records:
        return Records(self.bastion, self._say)

    def submit(self, job: Job) -> str:
        name = f"{self.run}.{job.name}-a{job.attempt}"
        self._jobs[name], self._read[name] = job, 0
        job.log.parent.mkdir(parents=True, exist_ok=True)
        job.log.open("wb" if job.attempt == 1 else "ab").close()  # who comes again begins with the first, and copies its log anew
        if not self._was_submitted(name):
            tree = tree_of(job.workdir)
            code = f"{self.settings.root}/{CODE}/{tree.name}"
            with staging.packed(files_of(self.bastion, Places(self._directory(name), code), job, self.environment)) as files:
                self._begin(name, code, files, lambda: bring_code(self.bastion, tree))
        return name

    def _was_submitted(self, name: str) -> bool:
        """Whether it surely was. What nobody began to submit must be what the cluster can give."""
        if self._admission is None:
            self._admission = Admission(self.bastion)
            directory = shlex.quote(self._directory(name))
            there = self.bastion.ask(f"cd {directory} 2>/dev/null && ls").text.split()
            if "asked" in there:
                return "submitted" in there
        self._admission.admit(options(self.settings, name, "/"), lambda why: self._tell(JobState("", name, "PENDING", why)))
        return False

    def poll(self, handle: str, seconds: float) -> Finished | None:
        return looked_at(partial(self._seen, handle), seconds)

    def cancel(self, handle: str) -> None:
        self._records.answered(f"scancel --me --name={shlex.quote(handle)}")

    # starting

    def _directory(self, name: str) -> str:
        return f"{self.settings.root}/runs/{self.run}/{name.removeprefix(self.run + '.')}"

    def _begin(self, name: str, code: str, files: BinaryIO, bring: Callable[[], object]) -> None:
        """Submits the job unless that was done before, by whomever. `bring` makes the cluster have the commit's files."""
        directory, again = self._directory(name), False
        sbatch = ["sbatch", *options(self.settings, name, directory)]
        deadline = time.monotonic() + self.bastion.patience
        while True:
            said = self.bastion.ask(begin(code, directory, os.urandom(6).hex(), sbatch, again=again), files)
            if said.code in (0, TAKEN):
                return
            if said.code == CODE_MISSING:
                bring()
                continue
            if said.code != DOUBTFUL and not (is_silent(said) and time.monotonic() < deadline):
                raise LaunchError(f"{self.bastion.name}: {refusal(said)}", hint(said.error))
            if self._is_there(name):
                return
            again = True

    def _is_there(self, name: str) -> bool:
        """Whether a job of that name was submitted. One that failed before its script began counts as none: a refused sbatch leaves one."""
        found = self._records.find(name, sure=False)
        if found is not None and found.state != "FAILED":
            return True
        return self.bastion.ask(f"test -e {shlex.quote(self._directory(name))}/lock").code == 0

    # following

    def _seen(self, name: str, patience: float) -> Finished | None:
        """A bastion or a controller that is away is waited for: the job goes on without them."""
        try:
            return self._look(name, min(patience, self.bastion.patience))
        except DroppedError as error:
            self._say(f"{error.message}: the job may go on, and so does the waiting")
            return None

    def _look(self, name: str, patience: float) -> Finished | None:
        told = self._told(name, patience)
        while len(told.log) == _CHUNK:  # the log is read to its end before the end counts
            told = self._told(name, patience)
        if told.end:
            self._ending.add(name)
        if self._is_late(told.seen):
            return self._while_silent(name, told)
        job = _the_one(told.seen.jobs, name, told.held)
        if job is None and self._is_new(name, told.seen):
            return None
        return self._judge(name, job, told)

    def _told(self, name: str, patience: float) -> _Told:
        directory = shlex.quote(self._directory(name))
        asked = [
            look(self.settings.root, name, self._age(name)),
            f"cat {directory}/lock/job 2>/dev/null",
            f"cat {directory}/end 2>/dev/null",
            f"tail -c +{self._read[name] + 1} {directory}/log 2>/dev/null | head -c {_CHUNK}",
        ]
        said = self.bastion.ask(f"; printf '{_escaped(_MARK)}'; ".join(asked), patience=patience)
        parts = said.out.split(_MARK.encode(), 3)
        if len(parts) < len(asked):
            raise DroppedError(f"{self.bastion.name}: {said.error or 'a look at the job said nothing'}", "try it there: ssh, and squeue")
        queue, held, end = (part.decode("utf-8", "replace") for part in parts[:3])
        self._copy(name, parts[3])
        return _Told(parse_look(queue), held.strip(), end.strip(), parts[3])

    def _age(self, name: str) -> int:
        """How old squeue's answer may be, in seconds."""
        every = seconds(self.settings.squeue_every)
        return min(_ENDING, every) if name in self._ending else every

    def _is_late(self, seen: Look) -> bool:
        return seen.age > seconds(self.settings.squeue_every) + _SILENT or not seen.taken

    def _while_silent(self, name: str, told: _Told) -> Finished | None:
        """What squeue said before the controller went away does not count."""
        if told.end:
            return self._judge(name, None, told)
        self._say(AWAY)
        return None

    def _is_new(self, name: str, seen: Look) -> bool:
        """Whether the job may be younger than squeue's answer, by the clock of the bastion, which has had it since the first look."""
        return seen.taken <= self._born.setdefault(name, seen.now)

    def _judge(self, name: str, job: JobState | None, told: _Told) -> Finished | None:
        end, held = told.end, told.held
        if end == "0" and not (job is not None and job.is_waiting):  # whatever Slurm thinks of it, unless that is older
            return self._ended(name, replace(job or JobState(held, name, ""), state="COMPLETED"), end)
        if job is not None and job.is_open:
            self._tell(job)
            self._check_patience(name, job)
            return None
        if job is None or (job.state == "FAILED" and not end):  # squeue knows no exit codes
            known = self._records.in_accounting(name, held)
            job = known if job is None else replace(job, exit=known.exit) if known is not None and not known.is_open else job
        if job is not None and job.is_open:  # for accounting alone, which hears of no end while the controller is away
            return self._ended(name, None, end) if end and end != _TERMINATED else None
        if job is None and not end:
            if self._records.find(name, sure=True) is not None:
                return None
            raise LaunchError(f"{self.run}: Slurm knows nothing of job {name}", "it was purged before it could write its end", "lost")
        if job is not None and not held and could_not_begin(job):
            raise LaunchError(
                f"{self.run}: job {job.id} ({name}) could not begin{f' on {job.nodes}' if job.nodes else ''}: no directory for it",
                f"[launch.STEP.slurm] root, {self.settings.root}, must be one that all nodes share and the user may write to",
            )
        return self._ended(name, job, end)

    def _ended(self, name: str, job: JobState | None, end: str) -> Finished:
        self._collect(name)
        directory = self._directory(name)
        if end and (job is None or job.state in ("COMPLETED", "FAILED")):
            self.heard(job or JobState("", name, "FAILED"), f"{directory}/log")
            return ended_as(end)
        assert job is not None
        self.heard(job, f"{directory}/log")
        said = self.bastion.ask(f"tail -n {_LAST_WORDS} {shlex.quote(directory)}/slurm.log 2>/dev/null")
        self._copy(name, said.out)  # what Slurm had to say, and bash
        return ending(job)

    def _check_patience(self, name: str, job: JobState) -> None:
        """Raises LaunchError, and cancels the job, when it has waited for longer than the settings allow; since somebody looks."""
        if not job.is_waiting:
            self._waiting.pop(name, None)
            return
        waited = time.monotonic() - self._waiting.setdefault(name, time.monotonic())
        if self.settings.queue_limit and waited > seconds(self.settings.queue_limit):
            self.cancel(name)
            why = f"job {job.id} waited for {self.settings.queue_limit} in the queue ({job.reason})"
            raise LaunchError(f"{self.run}: {why}", "[launch.STEP.slurm] queue_limit is how long a job may wait", "timeout")

    def _copy(self, name: str, log: bytes) -> None:
        self._read[name] += len(log)
        with self._jobs[name].log.open("ab") as file:
            file.write(log)
        if self.echo and log:
            sys.stdout.buffer.write(log)
            sys.stdout.flush()

    def _collect(self, name: str) -> None:
        job, directory = self._jobs[name], self._directory(name)
        if job.outputs:
            names = [str(path.relative_to(job.base)) for path in (*job.outputs, *_receipt(job))]
            staging.fetch(self.bastion, f"{directory}/files", names, job.base)

    def _tell(self, job: JobState) -> None:
        self.heard(job, f"{self._directory(job.name)}/log")
        starts = f", starts about {job.starts}" if job.starts else ""
        name = f"job {job.id}" if job.id else "the job"
        self._say(f"{name} {job.state.lower()}{f' ({job.reason}{starts})' if job.is_waiting else f' on {job.nodes}'}")

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self.say(text)


def cancel_all(bastion: Bastion, run: str) -> None:
    """Ends every job of the run that has not ended. Raises LaunchError, AuthError."""
    numbers = _open_jobs(bastion, run)  # not by names: --name takes one alone
    ended = bastion.ask("xargs -r scancel --me", "\n".join(numbers).encode())
    if ended.code != 0 and set(numbers) & set(_open_jobs(bastion, run)):  # it complains of those that ended meanwhile, too
        raise LaunchError(f"{bastion.name}: {ended.error}", "scancel them there, by their names")


def _open_jobs(bastion: Bastion, run: str) -> list[str]:
    said = bastion.ask(f"squeue -h --me -o '{SQUEUE}'")
    if said.code != 0:
        raise LaunchError(f"{bastion.name}: {said.error}", "scancel them there, by their names")
    return [job.id for job in parse_squeue(said.text) if job.name.startswith(f"{run}.") and job.state != "COMPLETING"]


def _the_one(jobs: Iterable[JobState], name: str, held: str) -> JobState | None:
    """Of several with one name that which holds the lock; while nobody does, one that may take it."""
    if held:
        return next((job for job in jobs if job.id == held), None)
    return newest((job for job in jobs if job.is_open), name) or newest(jobs, name)


def _receipt(job: Job) -> list[Path]:
    return [job.carried.receipt] if job.carried and job.carried.takes else []


def _escaped(text: str) -> str:
    return text.replace("\n", "\\n")
