"""The contract with a team's commands: placeholders in their words, variables in their environment, metrics as JSON lines.

Described for users in docs/reference/contract.md.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from builder.errors import LaunchError, SettingsError
from builder.model.run import Metric

METRICS, CHECKPOINT, CONFIG, OUTPUT = "BUILDER_METRICS", "BUILDER_CHECKPOINT", "BUILDER_CONFIG", "BUILDER_OUTPUT"
INITIAL = "BUILDER_INITIAL"
OUTBOX, WORKDIR, PARENT = "BUILDER_OUTBOX", "BUILDER_WORKDIR", "BUILDER_PARENT"
COMMIT, RUN, ACTION = "BUILDER_COMMIT", "BUILDER_RUN", "BUILDER_ACTION"
LOSS, SCORE = "loss", "score"

_PLACEHOLDER = re.compile(r"(?<!\$)\{([a-z_]+)\}")


def fill(command: tuple[str, ...], values: Mapping[str, str], where: str) -> tuple[str, ...]:
    """The words with `{config}` and its like replaced. Any other text in braces stays, such as `${home}` or JSON.

    `where` is the key in the settings that holds the command. Raises SettingsError on a placeholder that means nothing there.
    """

    def replaced(match: re.Match[str]) -> str:
        if match[1] in values:
            return values[match[1]]
        near = difflib.get_close_matches(match[1], values, 1)
        hint = f"did you mean {{{near[0]}}}?" if near else "known here: " + " ".join(f"{{{name}}}" for name in values)
        raise SettingsError(f"{where}: nothing is known as {match[0]}", hint)

    return tuple(_PLACEHOLDER.sub(replaced, word) for word in command)


def read_metrics(path: Path) -> tuple[Metric, ...]:
    """The metrics that a command wrote, in order; none when it wrote no file. Raises LaunchError naming the line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()
    except UnicodeDecodeError as error:
        raise LaunchError(f"{path} is not UTF-8", _FORM) from error
    return tuple(_metric(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip())


_FORM = 'every line of $BUILDER_METRICS is JSON: {"step": 1, "name": "loss", "value": 0.5}'


def _metric(line: str, where: str) -> Metric:
    try:
        raw = json.loads(line)
        step, name, value = raw["step"], raw["name"], raw["value"]
    except (ValueError, KeyError, TypeError) as error:
        raise LaunchError(f"{where}: not a metric: {line[:200]}", _FORM) from error
    if not isinstance(name, str) or not _number(step) or not _number(value):
        raise LaunchError(f"{where}: not a metric: {line[:200]}", _FORM)
    return Metric(step, name, float(value))


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
