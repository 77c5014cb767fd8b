"""What executes a team's command: here, later Slurm and JobSets. Siblings with the same verbs."""

from __future__ import annotations

from builder.launch.interface import Job, Launcher

__all__ = ["Job", "Launcher", "finish"]


def finish(launcher: Launcher, job: Job) -> int:
    """Executes the job to its end and returns its exit code. Whatever interrupts the wait cancels the job."""
    handle = launcher.submit(job)
    try:
        while (code := launcher.poll(handle, 3600)) is None:
            pass
    except BaseException:
        launcher.cancel(handle)
        raise
    return code
