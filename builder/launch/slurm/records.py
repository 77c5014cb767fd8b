"""Which job of a name there is: in squeue, which forgets soon, and in accounting, which hears late."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass

from builder.errors import LaunchError
from builder.launch.slurm.bastion import Bastion, DroppedError, Said
from builder.launch.slurm.states import SACCT, SQUEUE, JobState, newest, parse_sacct, parse_squeue
from builder.launch.slurm.submission import hint, is_silent, refusal

AWAY = "the Slurm controller does not answer; the job may go on"

_SACCT_LAG = 12.0  # seconds until accounting has heard of a job, measured at up to 7
_SLOWEST = 60  # seconds that a command of Slurm has: one that hangs is one that does not answer
_PAUSE = 2.0  # seconds between questions to a controller that is away
ALL = "BF,CA,CD,DL,F,NF,OOM,PD,PR,R,RQ,RS,RV,S,TO"
"""States, by their short names. Unless they and the time's end are given, sacct says nothing of a job that was cancelled while held."""


@dataclass(frozen=True, slots=True)
class Records:
    """What Slurm knows of jobs. `say` is told while nobody answers."""

    bastion: Bastion
    say: Callable[[str], None]

    def find(self, name: str, *, sure: bool) -> JobState | None:
        """The job of that name; `sure` waits until accounting must have heard of it.

        Raises DroppedError when nobody can say, for very long.
        """
        deadline = time.monotonic() + _SACCT_LAG
        while True:
            said = self.answered(f"squeue -h -t all --name={shlex.quote(name)} -o '{SQUEUE}'")
            found = newest(parse_squeue(said.text), name) or self.in_accounting(name)
            if found is not None or not sure or time.monotonic() > deadline:
                return found
            time.sleep(1.0)

    def in_accounting(self, name: str, held: str = "") -> JobState | None:
        """`held` is the number of the one that works, where that is known. None, too, where nobody accounts, or not in time."""
        command = f"sacct -n -P -X --name={shlex.quote(name)} -S now-90days -E now -s {ALL} -o {SACCT}"
        said = self.bastion.ask(f"timeout -k 5 {_SLOWEST} {command}")
        jobs = parse_sacct(said.text) if said.code == 0 else []
        return newest([job for job in jobs if job.id == held], name) or newest(jobs, name)

    def answered(self, command: str) -> Said:
        """What a command of Slurm says once its controller answers. Raises DroppedError when that takes too long."""
        deadline = time.monotonic() + self.bastion.patience
        while True:
            said = self.bastion.ask(f"timeout -k 5 {_SLOWEST} {command}")
            if said.code == 0:
                return said
            if not is_silent(said):
                raise LaunchError(f"{self.bastion.name}: {refusal(said)}", hint(said.error))
            if time.monotonic() >= deadline:
                raise DroppedError(f"{self.bastion.name}: {refusal(said)}", "is slurmctld up? `scontrol ping` there says so")
            self.say(AWAY)
            time.sleep(_PAUSE)
