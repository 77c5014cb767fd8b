"""The jobs that a run has in Slurm: they outlive the processes that wait for them, and are ended with the run."""

from __future__ import annotations

from builder.errors import BuilderError
from builder.settings import SlurmSettings
from builder.steps.request import Request


def cancel_jobs(request: Request) -> str:
    """Ends all that the run still has, wherever its steps submit. What could not be ended, in words; empty when nothing is left."""
    left = [_cancelled(slurm, request.run) for slurm in _clusters(request)]
    return "; ".join(filter(None, left))


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
