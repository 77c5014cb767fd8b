"""What executes a team's command: here, Slurm, or a gang of pods. Siblings with the same verbs."""

from __future__ import annotations

import time

from builder.launch.interface import Carried, Finished, Job, Launcher

__all__ = ["Carried", "Finished", "Job", "Launcher", "finish"]

_LOOK_EVERY = 3600.0  # seconds


def finish(launcher: Launcher, job: Job, limit: float | None = None) -> Finished:
    """Executes the job to its end, at most `limit` seconds long. The limit cancels it, and whatever interrupts the wait, too, unless jobs
    outlive it.
    """
    handle = launcher.submit(job)
    deadline = time.monotonic() + limit if limit is not None else None
    try:
        while (finished := launcher.poll(handle, _patience(deadline))) is None:
            if deadline is not None and time.monotonic() >= deadline:
                launcher.cancel(handle)
                return Finished(-15, timed_out=True)
    except BaseException:
        if not launcher.outlives:
            launcher.cancel(handle)
        raise
    return finished


def _patience(deadline: float | None) -> float:
    return _LOOK_EVERY if deadline is None else min(_LOOK_EVERY, max(0.0, deadline - time.monotonic()))
