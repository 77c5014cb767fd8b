"""The verbs, as a job of Slurm. Each attempt of a step has one name: whoever comes again with it finds the job, and starts no second."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builder.errors import LaunchError
from builder.launch.interface import Finished, Job
from builder.launch.slurm import staging
from builder.launch.slurm.admission import Admission
from builder.launch.slurm.bastion import Bastion, DroppedError, Said
from builder.launch.slurm.code import bring_code
from builder.launch.slurm.script import LOSER, options, pairs, script, words
from builder.launch.slurm.snapshot import Look, look, parse_look
from builder.launch.slurm.states import SACCT, SQUEUE, JobState, finished, newest, parse_sacct, parse_squeue
from builder.settings import SlurmSettings, seconds

_LOOK_EVERY = (0.5, 1.0, 2.0, 5.0)  # seconds; the last one for ever
_SACCT_LAG = 12.0  # seconds until accounting has heard of a job, measured at up to 7
_NO_CONTROLLER = "Unable to contact slurm controller"
_ENDING = 2  # seconds: so old may squeue's answer be about a job whose script has ended
_SILENT = 60  # seconds after which an old answer of squeue is none, over those that it may be old
_MARK = "\n--builder--\n"
_CHUNK = 4 << 20  # bytes of log at once

Say = Callable[[str], None]
Heard = Callable[[JobState, str], None]


@dataclass
class Slurm:
    """Jobs of one run. `image` is that whose environment they have where the settings say `container`, by digest; `say` is told what one
    waits for, `heard` at each look how the job stands, and where its log is on the cluster.

    `echo`: what jobs write goes to this process's stdout, too.
    """

    bastion: Bastion
    run: str
    image: str = ""
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

    def submit(self, job: Job) -> str:
        name = f"{self.run}.{job.name}-a{job.attempt}"
        self._jobs[name], self._read[name] = job, 0
        job.log.parent.mkdir(parents=True, exist_ok=True)
        job.log.touch()
        if self._find(name, sure=False) is None:
            self._admit(name)
            self._sbatch(name, self._stage(name, job))
        return name

    def _admit(self, name: str) -> None:
        if self._admission is None:
            self._admission = Admission(self.bastion)
        self._admission.admit(options(self.settings, name, "/"), lambda why: self._tell(JobState("", name, "PENDING", why)))

    def poll(self, handle: str, seconds: float) -> Finished | None:
        deadline, looks = time.monotonic() + seconds, 0
        while True:
            ended = self._look(handle)
            if ended is not None:
                return ended
            if time.monotonic() >= deadline:
                return None
            time.sleep(min(_LOOK_EVERY[min(looks, len(_LOOK_EVERY) - 1)], max(0.0, deadline - time.monotonic())))
            looks += 1

    def cancel(self, handle: str) -> None:
        self.bastion.ask(f"scancel --name={shlex.quote(handle)}")

    # finding

    def _find(self, name: str, *, sure: bool) -> JobState | None:
        """The job of that name: among those that squeue has, else in accounting, which hears of a job late (`sure` waits for that)."""
        deadline = time.monotonic() + _SACCT_LAG
        while True:
            said = self.bastion.ask(f"squeue -h -t all --name={shlex.quote(name)} -o '{SQUEUE}'")
            found = newest(parse_squeue(said.text), name) or self._in_accounting(name)
            if found is not None or not sure or time.monotonic() > deadline:
                return found
            time.sleep(1.0)

    def _in_accounting(self, name: str) -> JobState | None:
        said = self.bastion.ask(f"sacct -n -P -X --name={shlex.quote(name)} -S now-90days -o {SACCT}")
        return newest(parse_sacct(said.text), name) if said.code == 0 else None  # without slurmdbd there is none

    # starting

    def _directory(self, name: str) -> str:
        return f"{self.settings.root}/runs/{self.run}/{name.removeprefix(self.run + '.')}"

    def _stage(self, name: str, job: Job) -> bytes:
        """What the job needs, on the cluster; the job's script."""
        code = f"{self.settings.root}/code/{bring_code(self.bastion, job.workdir).name}"
        directory = self._directory(name)
        there = {str(job.workdir): f"{directory}/code", str(job.base): f"{directory}/files"}
        files: dict[str, Path | bytes] = {"argv": words([_moved(word, there) for word in job.argv]), "env": pairs(_environment(job, there))}
        files |= {f"files/{path.relative_to(job.base)}": path for path in (*job.inputs, *job.outputs) if path.exists()}
        files |= {f"files/{path.relative_to(job.base).parent}/.keep": b"" for path in job.outputs}
        staging.put(self.bastion, files, directory)
        return script(directory, code, self.settings)

    def _sbatch(self, name: str, text: bytes) -> None:
        command = shlex.join(["sbatch", *options(self.settings, name, self._directory(name))])
        deadline = time.monotonic() + self.bastion.patience
        while True:
            said = self._once(command, text)
            if said is not None and said.code == 0:
                return
            if said is not None and said.code is not None and not (_NO_CONTROLLER in said.error and time.monotonic() < deadline):
                raise LaunchError(f"{self.bastion.name}: {_without_prefix(said.error)}", _hint(said.error))
            if self._find(name, sure=True) is not None:  # nobody saw the answer, but it got through
                return

    def _once(self, command: str, text: bytes) -> Said | None:
        try:
            return self.bastion.once(command, text)
        except DroppedError:
            return None

    # following

    def _look(self, name: str) -> Finished | None:
        directory = shlex.quote(self._directory(name))
        asked = [
            look(self.settings.root, name, self._age(name)),
            f"cat {directory}/lock/job 2>/dev/null",
            f"cat {directory}/end 2>/dev/null",
            f"tail -c +{self._read[name] + 1} {directory}/log 2>/dev/null | head -c {_CHUNK}",
        ]
        said = self.bastion.ask(f"; printf '{_escaped(_MARK)}'; ".join(asked)).out
        queue, holder, end, log = said.split(_MARK.encode(), 3)
        self._copy(name, log)
        if len(log) == _CHUNK:
            return None
        seen = parse_look(queue.decode("utf-8", "replace"))
        if end.strip():
            self._ending.add(name)
        if self._is_late(seen):
            return self._while_silent(name, end.decode().strip())
        job = next((job for job in seen.jobs if job.id == holder.decode().strip()), None) or newest(seen.jobs, name)
        if job is None and self._is_new(name, seen):
            return None
        return self._judge(name, job, end.decode().strip())

    def _age(self, name: str) -> int:
        """How old squeue's answer may be, in seconds."""
        every = seconds(self.settings.squeue_every)
        return min(_ENDING, every) if name in self._ending else every

    def _is_late(self, seen: Look) -> bool:
        return seen.age > seconds(self.settings.squeue_every) + _SILENT or not seen.taken

    def _while_silent(self, name: str, end: str) -> Finished | None:
        """What squeue said before the controller went away does not count."""
        if end:
            return self._judge(name, None, end)
        self._say("the Slurm controller does not answer; the job may go on")
        return None

    def _is_new(self, name: str, seen: Look) -> bool:
        """Whether the job may be younger than squeue's answer, by the clock of the bastion, which has had it since the first look."""
        return seen.taken <= self._born.setdefault(name, seen.now)

    def _judge(self, name: str, job: JobState | None, end: str) -> Finished | None:
        if job is not None and job.is_open:
            self._tell(job)
            self._check_patience(name, job)
            return None
        if job is None:
            job = self._in_accounting(name)
        if job is not None and job.is_open:
            return None
        if job is None and not end:
            if self._find(name, sure=True) is not None:
                return None
            raise LaunchError(f"{self.run}: Slurm knows nothing of job {name}", "it was purged before it could write its end", "lost")
        self._collect(name)
        if end and (job is None or job.state in ("COMPLETED", "FAILED")):
            self.heard(job or JobState("", name, "COMPLETED" if end == "0" else "FAILED"), f"{self._directory(name)}/log")
            return Finished(int(end))
        assert job is not None
        if not job.exit:
            job = self._in_accounting(name) or job
        self.heard(job, f"{self._directory(name)}/log")
        ended = finished(job.state, job.exit)
        if ended.code == LOSER and not end:
            raise LaunchError(f"{self.run}: job {name} found another one at work", "try again", "lost")
        return ended

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
            names = [str(path.relative_to(job.base)) for path in job.outputs]
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
    said = bastion.ask(f"squeue -h --me -o '{SQUEUE}'")
    if said.code != 0:
        raise LaunchError(f"{bastion.name}: {said.error}", "scancel them there, by their names")
    names = sorted({job.name for job in parse_squeue(said.text) if job.name.startswith(f"{run}.")})
    if names:
        bastion.ask(f"scancel --me {shlex.quote('--name=' + ','.join(names))}")


def _environment(job: Job, there: Mapping[str, str]) -> dict[str, str]:
    """What the image sets, less its PATH, which is of no use outside of it; then the contract's variables."""
    kept = {name: value for name, value in job.env.items() if name not in ("PATH", "PYTHONPATH")}
    entries = [*(str(job.workdir / entry) for entry in job.pythonpath), *filter(None, [job.env.get("PYTHONPATH", "")])]
    path = _moved(":".join(entries), there)
    told = {name: _moved(value, there) for name, value in job.variables.items()}
    return {**kept, "PYTHONUNBUFFERED": "1", **({"PYTHONPATH": path} if path else {}), **told}


def _moved(word: str, there: Mapping[str, str]) -> str:
    """A word with the directories of this machine as they are called on the cluster. `/code` is none in `/codex`, or in `host/code`."""
    longest_first = sorted(there, key=len, reverse=True)
    names = "|".join(map(re.escape, longest_first))
    return re.sub(rf"(?<![\w./@-])({names})(?![\w.-])", lambda match: there[match[1]], word)


def _escaped(text: str) -> str:
    return text.replace("\n", "\\n")


def _without_prefix(text: str) -> str:
    return "; ".join(line.removeprefix("sbatch: ").removeprefix("error: ") for line in text.splitlines() if line.strip())


def _hint(text: str) -> str:
    if "More processors requested" in text or "Node count specification invalid" in text or "configuration is not available" in text:
        return "[launch.STEP.slurm] asks for more than the partition can ever give: nodes, gpus_per_node, cpus, mem"
    return "look at [launch.STEP.slurm]: `sinfo` on the bastion lists partitions and what they have"
