"""Starts a run that is made ready, and follows it where that is wanted: what `run` and `retry` share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli import output
from builder.cli.following import Steps
from builder.cli.starting import submit_to_argo

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.cli.starting import Ready
    from builder.deploy.cluster import Cluster
    from builder.model.run import RunResult
    from builder.runs.execute import Execution
    from builder.steps.request import Request


def execute(maker: Maker, ready: Ready, cluster: Cluster | None, wait: bool | None) -> RunResult:
    """How it ended, or how far it is. `wait` None: as `--detach` on Argo; elsewhere the run ends with this process."""
    from builder.runs.execute import execute as execute_here

    if cluster is not None:
        return _on_argo(maker, cluster, ready, wait=bool(wait))
    execution, steps = execution_of(maker, ready), Steps(ready.request.run, here=True)
    if wait is None:
        return execute_here(execution, os.environ, steps)
    return _detached(execution, steps, wait=wait)


def execution_of(maker: Maker, ready: Ready) -> Execution:
    """The request with all that it needs on this machine: the commit's tree is written, or the image is in Docker's engine."""
    from builder.runs.execute import Execution
    from builder.runs.places import Directories
    from builder.runs.prepare import flow_file

    request, settings = ready.request, ready.request.settings
    directories = Directories.of(maker.settings)
    directories.make()
    flow = "" if settings.file else str(flow_file(request.flow, settings))
    image = _bring_image(maker, request) if request.on == "docker" else ""
    if not image:
        _export(maker, ready)
    return Execution(request, flow, str(directories.state), str(maker.start), image, maker.settings.run.docker)


def _export(maker: Maker, ready: Ready) -> None:
    from builder.runs.export import export

    wanted = ready.prepared.wanted
    export(maker.git, wanted.commit, wanted.settings.image, Path(ready.request.place.workdir))


def _bring_image(maker: Maker, request: Request) -> str:
    """The image as Docker's engine calls it, when it is there."""
    from builder.cli.progress import progress
    from builder.runs.docker import bring_image

    name, _, digest = request.reference.rpartition("@")
    if name == maker.store.name:  # this machine may know the registry by another name than nodes do
        pushed = maker.settings.store.target
        image = maker.store.reference(digest) if pushed == "docker:" else f"{pushed}@{digest}"
    else:
        image = request.reference
    bring_image(image, progress())
    return image


def _detached(execution: Execution, steps: Steps, *, wait: bool) -> RunResult:
    from builder.runs.detached import detach, follow
    from builder.steps.outcome import result_of
    from builder.steps.root import ledger_of

    request = execution.request
    detach(execution, os.environ)
    if not wait:
        _say_started(request.run)
        return result_of(request.run, ledger_of(request).read(request.run))
    try:
        return follow(request, steps)
    except KeyboardInterrupt:
        _say_goes_on(request.run)
        raise


def _on_argo(maker: Maker, cluster: Cluster, ready: Ready, *, wait: bool) -> RunResult:
    from builder.runs.argo import follow
    from builder.steps.outcome import result_of
    from builder.steps.root import ledger_of

    run = ready.request.run
    for applied in submit_to_argo(maker, ready, cluster):
        output.note(f"  {applied.kind} {applied.name} {applied.done}")
    if not wait:
        _say_started(run)
        return result_of(run, ledger_of(ready.request).read(run))
    try:
        return follow(cluster, ready.request, Steps(run, here=False), lambda message: output.note(f"  {message}"))
    except KeyboardInterrupt:
        _say_goes_on(run)
        raise


def _say_started(run: str) -> None:
    output.note(f"started; to follow it: builder logs {run} -f, builder show {run}; to end it: builder stop {run}")


def _say_goes_on(run: str) -> None:
    output.note(f"{run} goes on; builder logs {run} -f follows it again, builder stop {run} ends it")
