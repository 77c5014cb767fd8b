"""How a job ended, for people."""

from __future__ import annotations

from dataclasses import replace

from builder.launch.interface import Finished
from builder.launch.slurm.states import JobState, finished

NOT_BEGUN = "0:53"
"""Slurm's exit code of a job whose directory or log it could not open on the node."""

_SAID = {
    "TIMEOUT": "was ended by Slurm: its time was up",
    "DEADLINE": "was given up by Slurm: it could not end in time any more",
    "OUT_OF_MEMORY": "was killed by Slurm: out of memory",
    "NODE_FAIL": "was lost with its node",
    "BOOT_FAIL": "was lost: its node did not boot",
    "PREEMPTED": "was ended by Slurm to make room for another job",
    "REVOKED": "was taken back by Slurm",
    "CANCELLED": "was cancelled in Slurm",
}


def ending(job: JobState) -> Finished:
    """Of a job that could not write its own end."""
    ended = finished(job.state, job.exit)
    if job.state not in _SAID:
        return ended
    where = f" on {job.nodes}" if job.nodes else ""
    return replace(ended, said=f"{_SAID[job.state]} (job {job.id}, {job.state}{where})")


def could_not_begin(job: JobState) -> bool:
    """Whether Slurm took the job, and its script did not begin."""
    return job.state == "FAILED" and (job.exit == NOT_BEGUN or job.reason == "JobLaunchFailure")
