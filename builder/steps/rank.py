"""`python -m builder.steps.rank`: what each pod of a gang does. It brings what the command reads, runs it, and keeps what rank 0 leaves.

The step that waits for the gang made the job (builder/launch/jobset); a pod that is asked to end says nothing of how its command ended.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from builder.errors import BuilderError
from builder.launch import Finished, Job, finish
from builder.launch.here import Here
from builder.launch.jobset.files import Gang, Sent, bring
from builder.launch.jobset.manifest import JOB, OUTPUT, RANK, REQUEST, TREE, WORK
from builder.launch.moved import moved
from builder.launch.rendezvous import OF_THE_FIRST, who
from builder.launch.slurm import aboard
from builder.steps import ends
from builder.steps.request import Request
from builder.steps.restore import restored
from builder.steps.root import objects_of

_SHARED = ("MASTER_ADDR", "MASTER_PORT", "NNODES", "WORLD_SIZE", "LOCAL_RANK", "GPUS_PER_NODE")
_SHELL = 128  # and the signal, as a shell says it


def main(environ: Mapping[str, str]) -> int:
    """The exit code of the command; 128 + N when it died by signal N."""
    signal.signal(signal.SIGTERM, _ended)
    tree, output = environ[TREE], environ.get(OUTPUT, f"{WORK}/run")
    request = Request.unpack(environ[REQUEST])
    request = replace(request, place=replace(request.place, workdir=tree, output=output, python=""))
    gang, rank = Gang(objects_of(request), environ[JOB]), int(environ[RANK])
    try:
        return _work(request, gang, rank, environ)
    except BuilderError as error:
        sys.stderr.write(f"builder: {error.message}\n")
        gang.fail(rank, 1)
        return 1


def _work(request: Request, gang: Gang, rank: int, environ: Mapping[str, str]) -> int:
    sent, output, kills = gang.received(), Path(request.place.output), ends.oom_kills()
    output.mkdir(parents=True, exist_ok=True)
    bring(gang.objects, sent.files, output)
    restored(request)
    if sent.carried:
        aboard.bring(sent.carried, output, output)
    job = job_for(sent, Path(request.place.workdir), output, rank, environ)
    for path in job.outputs:
        path.parent.mkdir(parents=True, exist_ok=True)
    for name in ("BUILDER_OUTPUT", "BUILDER_CHECKPOINT"):
        if name in job.variables:
            Path(job.variables[name]).mkdir(parents=True, exist_ok=True)
    finished = finish(Here(os.environ, echo=True), job)
    if rank == 0:
        gang.leave(output, [*job.outputs, *_taken(sent, finished, output, job.workdir)])
    return _told(gang, rank, finished, out_of_memory=ends.oom_kills() > kills)


def _taken(sent: Sent, finished: Finished, output: Path, tree: Path) -> list[Path]:
    """Freezes the checkpoint, if the command was to leave one and ended well. The receipt says which it is."""
    if finished.code != 0 or "takes" not in sent.carried:
        return []
    aboard.take(sent.carried, output, tree)
    return [output / sent.carried["receipt"]]


def job_for(sent: Sent, tree: Path, output: Path, rank: int, environ: Mapping[str, str]) -> Job:
    """The job as it is in this pod: the same, with the directories that are here, and with what this rank has to know."""
    there = {sent.workdir: str(tree), sent.base: str(output)}
    told = {name: moved(value, there) for name, value in sent.variables.items()}
    others = dict.fromkeys(OF_THE_FIRST, os.devnull) if rank else {}
    shared = {name: value for name, value in environ.items() if name in _SHARED or name.startswith("PET_")}
    return Job(
        name=sent.name,
        argv=tuple(moved(word, there) for word in sent.argv),
        workdir=tree,
        log=output / sent.name / f"log-{rank}",
        pythonpath=sent.pythonpath,
        env={name: moved(value, there) for name, value in sent.env.items()},
        variables={**told, **others, **shared, **who(rank)},
        hidden=sent.hidden,
        base=output,
        outputs=tuple(output / name for name in sent.outputs),
    )


def _told(gang: Gang, rank: int, finished: Finished, *, out_of_memory: bool) -> int:
    if finished.code == 0:
        gang.finish(rank)
        return 0
    end = ends.end_of(finished.code, out_of_memory=out_of_memory)
    gang.fail(rank, finished.code, "memory" if end == "memory" else "")
    return finished.code if finished.code > 0 else _SHELL - finished.code


def _ended(number: int, _: object) -> None:
    """The first process of a container has to say itself that it ends; `finish` ends the command on its way."""
    raise SystemExit(_SHELL + number)


if __name__ == "__main__":
    sys.exit(main(os.environ))
