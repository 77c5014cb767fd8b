"""What Slurm says of jobs, as values. Everything here is asked for by name: numbers are used again after a controller starts anew."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass

from builder.launch.interface import Finished

SEPARATOR = "\x1f"
"""The unit separator of ASCII: reasons and names hold spaces, commas and bars."""
SQUEUE = SEPARATOR.join(("%i", "%T", "%S", "%N", "%P", "%r", "%j"))
"""squeue --format."""
SACCT = "JobIDRaw,State,ExitCode,JobName"
"""sacct --parsable2 --format. (Its JSON has wrong exit codes in 22.05.)"""

WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "RESIZING", "SPECIAL_EXIT"})
GOING = frozenset({"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "STOPPED"})
_ENDS = {
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "OUT_OF_MEMORY": "memory",
    "NODE_FAIL": "lost",
    "BOOT_FAIL": "lost",
    "PREEMPTED": "lost",
    "REVOKED": "lost",
    "CANCELLED": "cancelled",
}
"""How a step ended, in the words of the settings; COMPLETED and FAILED have an exit code."""


@dataclass(frozen=True, slots=True)
class JobState:
    """`state` as Slurm writes it; `reason` why it waits, or ended; `starts` when Slurm thinks that it may begin (the cluster's own time;
    empty when it does not say); `exit` is `code:signal`, where it is known. `place` is that among the `waiting` jobs of its partition that
    could begin, by priority; 0 where it is not known.
    """

    id: str
    name: str
    state: str
    reason: str = ""
    starts: str = ""
    nodes: str = ""
    exit: str = ""
    partition: str = ""
    place: int = 0
    waiting: int = 0

    @property
    def is_waiting(self) -> bool:
        return self.state in WAITING

    @property
    def is_open(self) -> bool:
        return self.state in WAITING or self.state in GOING


def parse_squeue(text: str) -> list[JobState]:
    """Lines in the format SQUEUE."""
    found = []
    for line in text.split("\n"):  # not splitlines, which splits at other control characters, too
        words = line.split(SEPARATOR)
        if len(words) == 7:
            number, state, starts, nodes, partition, reason, name = words
            starts = "" if starts == "N/A" or state not in WAITING else starts
            found.append(JobState(number, name, state, _said(reason), starts, nodes, partition=partition))
    return found


def parse_sacct(text: str) -> list[JobState]:
    """Lines in the format SACCT. `CANCELLED by 0` is CANCELLED."""
    found = []
    for line in text.splitlines():
        words = line.split("|", 3)
        if len(words) == 4:
            number, state, code, name = words
            found.append(JobState(number, name, state.split(" ", 1)[0], exit=code))
    return found


def newest(jobs: Iterable[JobState], name: str) -> JobState | None:
    """Of several with one name that which was submitted last."""
    return max((job for job in jobs if job.name == name), key=lambda job: int(job.id.partition("_")[0]), default=None)


def finished(state: str, code: str) -> Finished:
    """How a job ended, from its state and `code:signal`."""
    exit_code, _, number = code.partition(":")
    if state in _ENDS:
        return Finished(-signal.SIGTERM, timed_out=_ENDS[state] == "timeout", end=_ENDS[state])
    if number not in ("", "0"):
        return Finished(-int(number))
    return Finished(int(exit_code or "0") or (0 if state == "COMPLETED" else 1))


def _said(reason: str) -> str:
    return "" if reason in ("None", "(null)") else reason
