"""Everything that a job needs, on the cluster, before it is submitted: the tree, its words and variables, its files, its script."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.errors import LaunchError
from builder.launch.interface import Carried, Job
from builder.launch.moved import moved
from builder.launch.slurm.aboard import CARRIES
from builder.launch.slurm.bastion import Bastion
from builder.launch.slurm.containers import JOB
from builder.launch.slurm.luggage import bring_tool
from builder.launch.slurm.script import Attempt, beside, pairs, script, words


@dataclass(frozen=True, slots=True)
class Environment:
    """The image, by digest, whose environment a job has where the settings say `container`, and where it expects the tree."""

    image: str = ""
    workdir: str = ""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the attempt's own directory is on the cluster, and the commit's files."""

    directory: str
    code: str


def files_of(bastion: Bastion, places: Places, job: Job, environment: Environment) -> dict[str, Path | bytes]:
    """What the job needs beside the commit's files, by names below its directory; `script` is for sbatch.

    What moves checkpoints is brought, where the job moves any. Raises LaunchError.
    """
    attempt = _attempt(bastion, places, job, environment)
    files: dict[str, Path | bytes] = {"script": script(attempt), **_told(attempt, job), **beside(attempt)}
    files |= {f"files/{path.relative_to(job.base)}": path for path in (*job.inputs, *job.outputs) if path.exists()}
    return files | {f"files/{path.relative_to(job.base).parent}/.keep": b"" for path in job.outputs}


def _attempt(bastion: Bastion, places: Places, job: Job, environment: Environment) -> Attempt:
    settings, carried = bastion.settings, job.carried
    contained = settings.container != "none"
    if contained and not environment.image:
        raise LaunchError(f"{job.name}: there is no image for its container", "start the run anew: this one was prepared without")
    return Attempt(
        places.directory,
        places.code,
        settings,
        image=environment.image if contained else "",
        workdir=environment.workdir if contained else "",
        tool=bring_tool(bastion) if carried else "",
        brings=bool(carried and carried.brings),
        takes=bool(carried and carried.takes),
        previous=f"{places.directory.removesuffix(str(job.attempt))}{job.attempt - 1}" if job.attempt > 1 else "",
        seeks=bool(job.sought),
    )


def _told(attempt: Attempt, job: Job) -> dict[str, bytes]:
    """The command's words and variables, with the directories of this machine as the command finds them."""
    place = JOB if attempt.way else attempt.directory
    there = {str(job.workdir): attempt.workdir or f"{place}/code", str(job.base): f"{place}/files"}
    variables = {name: moved(value, there) for name, value in job.variables.items()}
    own = {} if attempt.way else _of_the_image(job, there)  # which the container has anyway
    found = {"argv": words([moved(word, there) for word in job.argv])}
    found["env"] = pairs({**own, "PYTHONUNBUFFERED": "1", **variables})
    if job.sought:
        found["sought"] = words([word for path, pattern in job.sought.items() for word in (str(path.relative_to(job.base)), pattern)])
    if job.carried:
        found[CARRIES] = _as_json(job.carried, job.base)
    return found


def _of_the_image(job: Job, there: Mapping[str, str]) -> dict[str, str]:
    """What the image sets, less its PATH, which is of no use outside of it."""
    kept = {name: value for name, value in job.env.items() if name not in ("PATH", "PYTHONPATH")}
    path = moved(":".join(_python_path(job)), there)
    return {**kept, "PYTHONPATH": path} if path else kept


def _python_path(job: Job) -> Iterator[str]:
    yield from (str(job.workdir / entry) for entry in job.pythonpath)
    if before := job.env.get("PYTHONPATH", ""):
        yield before


def _as_json(carried: Carried, base: Path) -> bytes:
    """For aboard.py: what lies below base is below `files` there."""
    told: dict[str, Any] = {"root": carried.root, "endpoint": carried.endpoint, "region": carried.region, "pattern": carried.pattern}
    told |= {"brings": {str(path.relative_to(base)): digest for path, digest in carried.brings.items()}}
    told |= {"takes": str(carried.takes.relative_to(base)), "receipt": str(carried.receipt.relative_to(base))} if carried.takes else {}
    return json.dumps(told, sort_keys=True).encode()
