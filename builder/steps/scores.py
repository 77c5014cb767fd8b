"""Where an evaluation's score is: in its metrics, in a JSON file that it wrote, or in its log."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

from builder.errors import LaunchError
from builder.model.json_path import look_up
from builder.settings import ScoreSettings
from builder.steps import contract
from builder.steps.command import Ended


def find_score(ended: Ended, setting: ScoreSettings | None, workdir: Path, where: str) -> float:
    """The score of an evaluation that ended well. `where` names it in messages. Raises LaunchError when there is none.

    What the command itself reported counts before where the settings say it is: settings of today hold for commits that knew no metrics.
    """
    found = _find(ended, setting, workdir, where)
    if not math.isfinite(found):
        raise LaunchError(f"{where}: the score is {found}", "a score is a finite number: look for a division by zero in the evaluation")
    return found


def _find(ended: Ended, setting: ScoreSettings | None, workdir: Path, where: str) -> float:
    reported = [metric.value for metric in ended.metrics if metric.name == contract.SCORE]
    if reported:
        return reported[-1]
    if setting is None:
        raise _none_reported(where)
    return _from_file(workdir / setting.file, setting.path, where) if setting.file else _from_log(ended.log, setting.log, where)


def _none_reported(where: str) -> LaunchError:
    line = f'{{"step": 1, "name": "{contract.SCORE}", "value": 0.5}}'
    return LaunchError(
        f"{where} ended well but reported no score",
        f"append {line} to the file that ${contract.METRICS} names, or say in [flow.NAME.scores] where the score is",
    )


def _from_file(file: Path, path: str, where: str) -> float:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LaunchError(f"{where}: there is no {file} with the score", "the settings name it: [flow.NAME.scores]") from error
    except ValueError as error:
        raise LaunchError(f"{where}: {file} is not JSON: {error}") from error
    try:
        found = look_up(document, path)
    except (LookupError, ValueError) as error:
        raise LaunchError(f"{where}: {file} has nothing at {path}: {error}", "correct `path` in [flow.NAME.scores]") from error
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise LaunchError(f"{where}: {path} in {file} is no number: {found!r}", "correct `path` in [flow.NAME.scores]")
    return float(found)


def _from_log(log: Path, expression: str, where: str) -> float:
    """The first group of the last match."""
    found = None
    pattern = re.compile(expression)
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            found = next(iter(reversed([match[1] for match in pattern.finditer(line)])), found)
    try:
        return float(found or "")
    except ValueError as error:
        what = f"{found!r} is no number" if found else f"no line matches {expression!r}"
        raise LaunchError(f"{where}: {what} in the log", "correct `log` in [flow.NAME.scores]") from error
