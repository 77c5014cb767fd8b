"""Starts a run that is made ready, and follows it where that is wanted: what `run` and `retry` share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.cli import output
from builder.cli.following import Steps
from builder.cli.starting import template_of, templates_beside

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.cli.starting import Ready
    from builder.cluster.interface import Cluster
    from builder.model.run import RunResult
    from builder.runs.execute import Execution
    from builder.steps.request import Request


def execute(maker: Maker, ready: Ready, cluster: Cluster | None, wait: bool | None) -> RunResult:
    """How it ended, or how far it is. `wait` None: as `--detach` on Argo; elsewhere the run ends with this process."""
    if cluster is None:
        return execute_here(maker, ready.request, wait)
    templates = [template_of(ready), *templates_beside(maker, ready.request, ready.prepared.wanted.settings)]
    return execute_on_argo(maker, cluster, ready.request, templates, wait=bool(wait))


def execute_here(maker: Maker, request: Request, wait: bool | None) -> RunResult:
    """On this machine, in processes or in a container."""
    from builder.runs.execute import execute as run_to_its_end

    execution, steps = execution_of(maker, request), Steps(request.run, here=True)
    if wait is None:
        return run_to_its_end(execution, os.environ, steps)
    return _detached(execution, steps, wait=wait)


def execution_of(maker: Maker, request: Request) -> Execution:
    """The request with all that it needs on this machine: the commit's tree is written, or the image is in Docker's engine."""
    from builder.runs.execute import Execution
    from builder.runs.places import Directories
    from builder.runs.prepare import flow_file

    settings, directories = request.settings, Directories.of(maker.settings)
    directories.make()
    flow = "" if settings.file else str(flow_file(request.flow, settings))
    image = _bring_image(maker, request) if request.on == "docker" else ""
    if not image:
        request = _export(maker, request)
    return Execution(request, flow, str(directories.state), str(maker.start), image, maker.settings.run.docker)


def _export(maker: Maker, request: Request) -> Request:
    """The request, which restores what is missing where it is of a commit from before the history was slimmed."""
    from builder.cli.reading import Reader
    from builder.cli.restoring import list_for, with_content
    from builder.cli.revisions import find_commit
    from builder.runs.export import export

    commit = find_commit(Reader.beside(maker), request.flow, request.commit)
    image, directory = maker.settings_at(commit).image, Path(request.place.workdir)
    with_content(maker, commit, lambda: export(maker.git, commit, image, directory))
    renamed = commit.sha != request.commit and not request.restore
    return replace(request, restore=list_for(maker, commit)) if renamed else request


def _bring_image(maker: Maker, request: Request) -> str:
    """The image as Docker's engine calls it, when it is there."""
    from builder.cli.progress import progress
    from builder.runs.docker import bring_image

    name, _, digest = request.reference.rpartition("@")
    image = local_name(maker, digest) if name == maker.store.name else request.reference
    bring_image(image, progress())
    return image


def local_name(maker: Maker, digest: str) -> str:
    """An image of the store as this machine calls it, which may know the registry by another name than nodes do."""
    pushed = maker.settings.store.target
    return maker.store.reference(digest) if pushed == "docker:" else f"{pushed}@{digest}"


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


def execute_on_argo(maker: Maker, cluster: Cluster, request: Request, templates: Sequence[Mapping[str, Any]], *, wait: bool) -> RunResult:
    """The first template is the run's; the others are what it may need to start more runs."""
    from builder.runs.argo import follow, submit
    from builder.settings import QueueSettings
    from builder.steps.outcome import result_of
    from builder.steps.root import ledger_of

    run, queue = request.run, maker.settings.queue.get(request.flow, QueueSettings())
    for applied in submit(cluster, request, templates[0], queue, templates[1:]):
        output.note(f"  {applied.kind} {applied.name} {applied.done}")
    if not wait:
        _say_started(run)
        return result_of(run, ledger_of(request).read(run))
    try:
        return follow(cluster, request, Steps(run, here=False), lambda message: output.note(f"  {message}"))
    except KeyboardInterrupt:
        _say_goes_on(run)
        raise


def _say_started(run: str) -> None:
    output.note(f"started; to follow it: builder logs {run} -f, builder show {run}; to end it: builder stop {run}")


def _say_goes_on(run: str) -> None:
    output.note(f"{run} goes on; builder logs {run} -f follows it again, builder stop {run} ends it")
