"""Jobs that move checkpoints from and to the data root themselves, so that nothing large passes through who waits for them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from builder.data.checkpoints import Frozen
from builder.errors import LaunchError
from builder.launch import Carried
from builder.steps.request import Request


def carries(request: Request, step: str) -> bool:
    """Whether the step's job does so."""
    launch = request.launching(step)
    able = launch.on == "jobset" or (launch.on == "slurm" and bool(launch.slurm.s3_credentials))
    return able and request.data.root.startswith("s3://")


def receipt_path(request: Request, step: str) -> Path:
    """What a job says of the checkpoint that it took to the data root."""
    return Path(request.place.output) / step / "carried.json"


def carried(request: Request, step: str, read: Mapping[Path, str], written: Path | None) -> Carried | None:
    """What a job of the step moves: it reads checkpoints, by directory and digest, and may leave one."""
    if not carries(request, step):
        return None
    receipt_path(request, step).unlink(missing_ok=True)  # of the try before this one
    endpoint = request.data.endpoint or _first_of("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    region = _first_of("AWS_REGION", "AWS_DEFAULT_REGION")
    pattern = request.settings.checkpoint
    return Carried(request.data.root, endpoint, region, read, written, pattern, receipt_path(request, step))


def _first_of(*names: str) -> str:
    """What this process goes by; the cluster has no such variables."""
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def frozen_by_job(request: Request, step: str) -> Frozen:
    """What the job froze. Raises LaunchError when it left no word of it."""
    import msgspec

    receipt = receipt_path(request, step)
    try:
        return msgspec.json.decode(receipt.read_bytes(), type=Frozen)
    except (OSError, msgspec.MsgspecError) as error:
        message = f"{request.run}: step {step} ended well, but its job does not say which checkpoint it took to {request.data.root}"
        raise LaunchError(message, f"look at {receipt}") from error
