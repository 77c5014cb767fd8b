"""The jobs that a run has in Slurm, and its gangs of pods: they outlive the processes that wait for them, and are ended with the run."""

from __future__ import annotations

from builder.errors import BuilderError
from builder.settings import SlurmSettings
from builder.steps.gangs import cancel_gangs
from builder.steps.request import Request


def cancel_jobs(request: Request) -> str:
    """Ends all that the run still has, wherever its steps submit. What could not be ended, in words; empty when nothing is left."""
    left = [_cancelled(slurm, request.run) for slurm in _clusters(request)]
    if any(launch.on == "jobset" for launch in request.launch.values()):
        left.append(_gangs_cancelled(request))
    return "; ".join(filter(None, left))


def _gangs_cancelled(request: Request) -> str:
    try:
        cancel_gangs(request)
    except BuilderError as error:
        return f"its gangs go on: {error.message}"
    return ""


def _clusters(request: Request) -> list[SlurmSettings]:
    """Each bastion once."""
    used = [launch.slurm for launch in request.launch.values() if launch.on == "slurm"]
    return list({(slurm.bastion, slurm.user): slurm for slurm in used}.values())


def _cancelled(slurm: SlurmSettings, run: str) -> str:
    from builder.launch.slurm.bastion import Bastion
    from builder.launch.slurm.launcher import cancel_all

    bastion = Bastion(slurm, patience=10.0)
    try:
        cancel_all(bastion, run)
    except BuilderError as error:
        return f"its jobs in Slurm go on: {error.message}"
    finally:
        bastion.close()
    return ""
