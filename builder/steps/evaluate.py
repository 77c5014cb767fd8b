"""The step that evaluates one action type: with the repository's own command, or by asking somebody else."""

from __future__ import annotations

import shutil
from pathlib import Path

from builder.data.checkpoints import materialise
from builder.errors import LaunchError
from builder.model.run import Evaluation
from builder.settings import ExternalSettings
from builder.steps import external
from builder.steps.carrying import carries
from builder.steps.command import attaches, directory, environment_of, log_path, run_command
from builder.steps.config import Config, config_file
from builder.steps.outbox import start_asked
from builder.steps.perform import Facts, Failure, perform, rule_for
from builder.steps.request import Request, Task
from builder.steps.restore import restored
from builder.steps.root import objects_of
from builder.steps.scores import find_score


def run(task: Task, config: Config, checkpoint: str, action: str) -> Evaluation:
    """Raises LaunchError when the command fails or reports no score, and the settings do not say to go on."""
    request, step = task.request, f"evaluate-{action}"
    command = request.settings.evals[action]
    fallback = rule_for(request.settings, step).fallback

    def work(facts: Facts) -> Evaluation:
        if isinstance(command, ExternalSettings):
            return external.ask(request, step, action, command, checkpoint, facts)
        return _evaluate(task, step, action, command, config, checkpoint, facts)

    def instead(failure: Failure) -> Evaluation:
        return Evaluation(action, fallback, 0.0, failure.error.partition("; its last lines:")[0])

    waits = isinstance(command, ExternalSettings) or attaches(request, step)
    return perform(task, step, Evaluation, work, instead, log=log_path(request, step), waits=waits)


def _evaluate(task: Task, step: str, action: str, command: tuple[str, ...], config: Config, checkpoint: str, facts: Facts) -> Evaluation:
    request = task.request
    values = {"config": str(config_file(request, config)), "checkpoint": str(_fetched(request, step, checkpoint)), "action": action}
    facts.update(restored(request) | environment_of(request, step))
    ended = run_command(request, step, command, values, facts, {"checkpoint": checkpoint})
    where = f"{request.run}: step {step}"
    score = find_score(ended, request.settings.scores.get(action), Path(request.place.workdir), where)
    facts.update(score=score, seconds=round(ended.seconds, 3))
    start_asked(task, step, facts)
    return Evaluation(action, score, ended.seconds)


def _fetched(request: Request, step: str, checkpoint: str) -> Path:
    """The checkpoint's files, checked against its digest: a copy of this evaluation's own. Not there yet where its job brings it itself."""
    if not checkpoint:
        raise LaunchError(f"{request.run}: step {step} has no checkpoint to evaluate")
    target = directory(request, step) / "checkpoint"
    shutil.rmtree(target, ignore_errors=True)  # of the try before this one, whose command may have written into it
    if not carries(request, step):
        materialise(objects_of(request), checkpoint, target)
    return target
