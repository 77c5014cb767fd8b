"""The step that runs the repository's own training: `finetune`, and `train` of the flow of that name."""

from __future__ import annotations

import shutil
from pathlib import Path

from builder.data.checkpoints import Frozen, freeze, materialise
from builder.errors import LaunchError
from builder.model.run import Training
from builder.steps import contract
from builder.steps.carrying import carries, frozen_by_job
from builder.steps.command import attaches, environment_of, log_path, run_command
from builder.steps.config import Config, config_file
from builder.steps.outbox import start_asked
from builder.steps.perform import Facts, perform
from builder.steps.request import Request, Task
from builder.steps.restore import restored
from builder.steps.root import objects_of

STEP = "finetune"


def run(task: Task, config: Config, step: str = STEP) -> Training:
    """The checkpoint is in the data root when it returns. Raises LaunchError when the command fails or leaves no checkpoint."""
    request = task.request
    log, waits = log_path(request, step), attaches(request, step)
    return perform(task, step, Training, lambda facts: _train(task, config, step, facts), log=log, waits=waits)


def _train(task: Task, config: Config, step: str, facts: Facts) -> Training:
    request = task.request
    directory = Path(request.place.output) / "checkpoint"
    directory.mkdir(parents=True, exist_ok=True)
    values = {"config": str(config_file(request, config)), "checkpoint": str(directory), "initial": _initial(request, step)}
    facts.update(restored(request) | environment_of(request, step))
    ended = run_command(request, step, request.settings.command, values, facts, {"initial": request.initial})
    frozen = _frozen(request, step, directory)
    losses = tuple(metric for metric in ended.metrics if metric.name == contract.LOSS)
    training = Training(frozen.digest, losses, ended.seconds, frozen.size)
    facts.update(loss=training.loss, seconds=round(ended.seconds, 3), checkpoint=frozen.digest)
    start_asked(task, step, facts)
    return training


def _initial(request: Request, step: str) -> str:
    """The directory with the checkpoint from which training starts, checked against its digest; empty where it starts from none.
    Where the step's job brings it itself, the directory is not there yet.
    """
    if not request.initial:
        return ""
    directory = Path(request.place.output) / "initial"
    shutil.rmtree(directory, ignore_errors=True)  # of the try before this one, whose command may have written into it
    if not carries(request, step):
        materialise(objects_of(request), request.initial, directory)
    return str(directory)


def _frozen(request: Request, step: str, directory: Path) -> Frozen:
    if carries(request, step):
        return frozen_by_job(request, step)
    return freeze(objects_of(request), _checkpoint(request, step, directory))


def _checkpoint(request: Request, step: str, directory: Path) -> Path:
    """The directory that the command wrote: the contract's, else the newest that the settings' pattern finds."""
    pattern = request.settings.checkpoint
    if any(directory.iterdir()) or not pattern:
        return _filled(request, step, directory)
    found = [path for path in Path(request.place.workdir).glob(pattern) if path.is_dir()]
    if not found:
        raise LaunchError(
            f"{request.run}: step {step} ended well, but no directory matches {pattern}", f"correct [flow.{request.flow}] checkpoint"
        )
    return _filled(request, step, max(found, key=lambda path: path.stat().st_mtime))


def _filled(request: Request, step: str, directory: Path) -> Path:
    if not any(directory.iterdir()):
        hint = f"write it where ${contract.CHECKPOINT} ({{checkpoint}} in the command) says, or say in the settings where it is"
        raise LaunchError(f"{request.run}: step {step} ended well but left no checkpoint", hint)
    return directory
