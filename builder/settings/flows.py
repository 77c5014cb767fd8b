"""[flow.NAME] as a frozen value: what a flow runs, where its scores are, and what happens when a step fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from builder.settings import checks
from builder.settings.fields import key, table

FAILURES = ("failed", "timeout", "killed", "memory", "lost", "cancelled", "stage")
"""How a step can end badly: exit code, time limit, a signal, out of memory, its machine or pod gone, its job cancelled or without files."""


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """Where a score is found when a command does not write the metrics contract."""

    file: str = key("", "a JSON file that the command writes, relative to where it runs", checks.inside)
    path: str = key("", "the place in that file, such as `$.click.acc`", checks.json_path)
    log: str = key("", "a regular expression over the command's output; the first group of its last match is the score", checks.expression)

    def __post_init__(self) -> None:
        if bool(self.file) == bool(self.log) or bool(self.file) != bool(self.path):
            raise ValueError("file and path, or log")


@dataclass(frozen=True, slots=True)
class ExternalSettings:
    """An evaluation that somebody else does: a request is written, and a signed result awaited."""

    kind: Literal["external"] = key("external", "no command of the repository evaluates this action type")
    samples: str = key("", "a file or directory of the commit that goes with the request", checks.inside)
    webhook: str = key("", "a URL that is told of the request; without one it only lies in the data root")
    key_env: str = key("BUILDER_EXTERNAL_KEY", "the environment variable with the key that signs the result (HMAC-SHA256)")
    timeout: str = key("24h", "how long to wait; then the report has a hole here", checks.time_limit)


@dataclass(frozen=True, slots=True)
class ErrorSettings:
    """What happens when a step fails. The step is one of the flow's, or `evaluate-ACTION` for a single action type."""

    retry: int = key(0, "how often it is tried again, at most 4 times", checks.retries)
    backoff: str = key("10s", "how long to wait before the first retry; doubled each time", checks.duration)
    on: tuple[str, ...] = key(
        ("killed", "lost"),
        "after which ends it is tried again: `failed`, `timeout`, `killed`, `memory`, `lost`, `cancelled`, `stage`, `exit:N`",
        checks.ends,
    )
    otherwise: Literal["stop", "continue"] = key("stop", "then: end the run, or go on without (an evaluation leaves a hole in the report)")
    fallback: float | None = key(None, "the score to go on with instead of a hole", checks.finite)
    notify: str = key("", "whom a failure's message mentions, such as `<@U012ABC>`")


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """A flow: a built-in one with the team's commands, or the team's own Metaflow file."""

    use: str = key("", "the built-in flow it is; the table's own name when empty")
    file: str = key("", "the team's own Metaflow flow, read from the commit", checks.inside)
    description: str = key("", "one line for people")
    command: tuple[str, ...] = key((), "what trains; `{config}` stands for the resolved configuration file", checks.command)
    config: str = key("", "the configuration file, relative to the repository's root", checks.inside)
    defaults: Mapping[str, Any] = table("values of the configuration that the file may leave out")
    schema: Mapping[str, str] = table("the type of keys of the configuration: `int`, `float`, `str`, `bool`, `list`, `dict`", checks.types)
    checkpoint: str = key("", "where the command leaves its checkpoint, such as `runs/*/last`; else `$BUILDER_CHECKPOINT`", checks.inside)
    python: str = key("", "the interpreter for runs on this machine; the active environment's when empty")
    evals: Mapping[str, tuple[str, ...] | ExternalSettings] = table('for every action type a command, or a table with kind = "external"')
    scores: Mapping[str, ScoreSettings] = table("where a score is found, for commands that do not write metrics")
    errors: Mapping[str, ErrorSettings] = table("what happens when a step fails")
    starts: str = key("finetune", 'of `use = "train"`: the flow that starts with the checkpoint, at the same commit; none when empty')
    after: str = key("", "the flow after whose run at the same commit this one starts by itself")
    only_if: Literal["succeeded", "failed", "ended"] = key("succeeded", "how that run must have ended")

    def __post_init__(self) -> None:
        named = ("use", "command", "config", "defaults", "schema", "checkpoint", "evals", "scores", "errors")
        both = [name for name in named if self.file and getattr(self, name)]
        if both:
            raise ValueError(f"file without {', '.join(both)}: the team's own flow says by itself what it does")
