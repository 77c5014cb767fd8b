"""All jobs of a cluster at one look, whoever submitted them; and which of them are ours.

What people wrote (names of jobs, directories) stands between separators that nobody could know beforehand: a name with bars and newlines in
it cannot look like another job.
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from builder.errors import LaunchError
from builder.launch.slurm.bastion import Bastion
from builder.launch.slurm.states import WAITING
from builder.settings import Settings, SlurmSettings

_FIELDS = ("%i", "%T", "%V", "%S", "%b", "%D", "%u", "%r", "%N", "%Z", "%P", "%j")
_KEY = re.compile(r"(?P<run>[^./]+)\.(?P<step>[^/]+)-a(?P<attempt>\d+)\Z")
_GPUS = re.compile(r"gres[:/]gpu(?::[A-Za-z][^:,]*)?[:=](\d+)")


@dataclass(frozen=True, slots=True)
class Listed:
    """A job that waits or runs. Times are in seconds since 1970 by the cluster's clock, None where there is none; `gpus` on all nodes,
    of which it has, or wants, `count`.

    `run`, `step` and `attempt` are known of jobs that this tool submitted below its root; `quiet_since` is when the log of such a one
    grew last, where that was asked; `mine`: whoever asks submitted it.
    """

    id: str
    name: str
    state: str
    submitted: float | None = None
    starts: float | None = None
    gpus: int = 0
    user: str = ""
    reason: str = ""
    nodes: str = ""
    directory: str = ""
    run: str = ""
    step: str = ""
    attempt: int = 0
    quiet_since: float | None = None
    partition: str = ""
    count: int = 0
    mine: bool = True

    @property
    def is_waiting(self) -> bool:
        return self.state in WAITING


def clusters(settings: Settings) -> dict[str, list[SlurmSettings]]:
    """By host of the bastion: all that the settings know, each root once."""
    found: dict[str, dict[str, SlurmSettings]] = {}
    for launch in settings.launch.values():
        if launch.slurm.bastion and launch.slurm.root:
            found.setdefault(launch.slurm.bastion, {})[launch.slurm.root] = launch.slurm
    return {host: list(roots.values()) for host, roots in found.items()}


def survey(bastion: Bastion, roots: Collection[str]) -> tuple[float, tuple[Listed, ...]]:
    """The cluster's time, and every job that waits or runs; ours are those below one of `roots`. Raises LaunchError, AuthError."""
    row, between = (f"--{secrets.token_hex(8)}--" for _ in range(2))
    line = row + between.join(_FIELDS)
    said = bastion.ask(f"date +%s; id -un; TZ=UTC squeue -a -h -o {shlex.quote(line)}")
    if said.code != 0:
        raise LaunchError(f"{bastion.name}: squeue: {said.error or f'exit code {said.code}'}", "does the Slurm controller answer there?")
    head, *rows = said.text.split(row)
    now, me = head.split()
    return float(now), tuple(replace(job, mine=job.user == me) for job in parse_rows(rows, between, roots))


def parse_rows(rows: Sequence[str], between: str, roots: Collection[str]) -> tuple[Listed, ...]:
    """Jobs from rows of squeue, whose fields have `between` between them. What is none is left out."""
    split = [row.removesuffix("\n").split(between) for row in rows]
    return tuple(_marked(_listed(fields), roots) for fields in split if len(fields) == len(_FIELDS))


def _listed(fields: Sequence[str]) -> Listed:
    number, state, submitted, starts, tres, nodes, user, reason, places, directory, partition, name = fields
    count = int(nodes) if nodes.isdecimal() else 1
    gpus = sum(map(int, _GPUS.findall(tres))) * count
    said = "" if reason in ("None", "(null)") else reason
    times = (_seconds(submitted), _seconds(starts))
    return Listed(number, name, state, *times, gpus, user, said, places, directory, partition=partition, count=count)


def _seconds(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()
    except ValueError:  # N/A
        return None


def _marked(job: Listed, roots: Collection[str]) -> Listed:
    """Ours is what our script started: its directory is the one that its name has below a root of ours."""
    found = _KEY.match(job.name)
    if not found:
        return job
    below = f"/runs/{found['run']}/{job.name.removeprefix(found['run'] + '.')}"
    if job.directory not in [f"{root}{below}" for root in roots]:
        return job
    return replace(job, run=found["run"], step=found["step"], attempt=int(found["attempt"]))


def with_logs(bastion: Bastion, jobs: Sequence[Listed]) -> tuple[Listed, ...]:
    """The same jobs; those of ours that run know since when their log is quiet. Raises LaunchError, AuthError."""
    running = [job for job in jobs if job.run and not job.is_waiting]
    if not running:
        return tuple(jobs)
    files = {f"{job.directory}/{name}": job.id for job in running for name in ("log", "slurm.log")}
    names = b"".join(file.encode("utf-8", "surrogateescape") + b"\0" for file in files)
    said = bastion.ask("xargs -0 -r stat --printf='%Y %n\\0' -- 2>/dev/null; true", names)
    changed: dict[str, float] = {}
    for line in said.text.split("\0"):
        when, _, file = line.partition(" ")
        if file in files and when.isdecimal():
            changed[files[file]] = max(float(when), changed.get(files[file], 0.0))
    return tuple(replace(job, quiet_since=changed.get(job.id, job.starts)) if job in running else job for job in jobs)
