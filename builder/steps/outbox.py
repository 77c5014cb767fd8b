"""What a step's command asks to be started: JSON lines in $BUILDER_OUTBOX, all of them checked before the first is started.

Described for users in docs/reference/contract.md.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from builder.errors import BuilderError, LaunchError
from builder.model.asks import FORM, check_line
from builder.model.oci import canonical_json, sha256
from builder.steps.command import outbox_path
from builder.steps.config import load, read_file, read_word
from builder.steps.perform import Facts
from builder.steps.request import SAME, Origin, Request, Start, Starter, Task

DEEPEST = 5
"""How many runs may have started each other before one: what starts itself again and again ends here."""

MOST = 100
"""How many runs one step may start."""

_WORDS = re.compile(r"[A-Za-z0-9/._][A-Za-z0-9/._,=+@%-]*\Z")
_SHA = re.compile(r"[0-9a-f]{7,40}\Z")


def start_asked(task: Task, step: str, facts: Facts) -> None:
    """Starts what the step's command asked for, and links to it. Raises LaunchError, and starts nothing, when one line is wrong.

    Where the step cannot start runs, its record says what to start, and whoever started this run does it.
    """
    starts = read_outbox(task.request, step)
    if not starts:
        return
    if task.starter is None:
        facts["asked"] = [_plain(start) for start in starts]
    else:
        begin_all(task.request, task.starter, starts)
    facts["children"] = [start.run for start in starts]


def begin_all(request: Request, starter: Starter, starts: Sequence[Start]) -> None:
    """Starts them all, or none: each must be known to be possible first. Raises LaunchError."""
    for begin in [_prepared(request, starter, start) for start in starts]:
        begin()


def read_outbox(request: Request, step: str) -> tuple[Start, ...]:
    """What the command asked for, in order; nothing when it wrote no file. Raises LaunchError naming the line that is wrong."""
    return read_asks(request, outbox_path(request, step), f"{request.run}: step {step}", (request.run, step))


def read_asks(request: Request, path: Path, whose: str, asking: tuple[str, ...]) -> tuple[Start, ...]:
    """As `read_outbox`. `whose` is what asks, for people; a run's name is made from `asking` and the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()
    except UnicodeDecodeError as error:
        raise LaunchError(f"{whose}: its outbox is not UTF-8", FORM) from error
    asked = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if len(asked) > MOST:
        raise LaunchError(f"{whose} asks for {len(asked)} runs: {MOST} may be started at once", "start fewer, or in two steps")
    return tuple(
        _checked(request, _start(request, f"{whose}: line {number} of its outbox", (*asking, number), line)) for number, line in asked
    )


def child_origin(request: Request) -> Origin:
    """Of what the request's run starts."""
    ours = request.origin
    return Origin(who=ours.who, parent=request.run, depth=ours.depth + 1, main=ours.main)


def check_depth(start: Start) -> None:
    """Raises LaunchError when too many runs have started each other."""
    if start.origin.depth > DEEPEST:
        text = f"{start.where}: {start.origin.parent} is the last of {DEEPEST} runs that started each other: it may start no other"
        raise LaunchError(text, "does a flow start itself again and again? `builder show` of each run names the one that started it")


def child_name(flow: str, *asking: object) -> str:
    """The same for the same `asking`: run, step and line, or run and setting. Nothing is started twice under one name."""
    return f"{flow}-from-{sha256(canonical_json(list(asking)))[7:17]}"


def is_same(start: Start, commit: str) -> bool:
    """Whether it asks for the commit of the run that asks, by whichever name that can be seen without git."""
    return start.rev == SAME or (bool(_SHA.match(start.rev)) and commit.startswith(start.rev))


def _start(request: Request, where: str, asking: tuple[object, ...], line: str) -> Start:
    try:
        raw = json.loads(line)
    except ValueError as error:
        raise LaunchError(f"{where} is not JSON: {line[:200]}", FORM) from error
    if not isinstance(raw, dict):
        raise LaunchError(f"{where} is no object: {line[:200]}", FORM)
    check_line(raw, where)
    flow = raw["start"]
    return Start(
        run=child_name(flow, *asking),
        flow=flow,
        origin=child_origin(request),
        rev=raw.get("rev", SAME),
        overrides=tuple(_word(key, value, where) for key, value in raw.get("set", {}).items()),
        evals=tuple(raw.get("evals", ())),
        on=raw.get("on", ""),
        where=where,
        initial=raw.get("initial", ""),
    )


def _word(key: str, value: object, where: str) -> str:
    """As on the command line."""
    if not key or "=" in key or key == "evals":
        hint = '"evals": ["click"] stands beside "set"' if key == "evals" else FORM
        raise LaunchError(f"{where}: {key!r} in set cannot be a key of the configuration", hint)
    return f"{key}={_text(value)}"


def _text(value: object) -> str:
    """JSON is YAML, too; but plain words stand without quotes, as people write them."""
    plain = isinstance(value, str) and bool(_WORDS.match(value)) and read_word(value) == value
    return str(value) if plain else json.dumps(value, ensure_ascii=False)


def _checked(request: Request, start: Start) -> Start:
    """What can be known here: at the same commit the flow, and of the same flow the action types and the configuration, too."""
    check_depth(start)
    if not is_same(start, request.commit):
        return start
    if request.flows and start.flow not in request.flows:
        near = difflib.get_close_matches(start.flow, request.flows, 1)
        hint = f"did you mean {near[0]}?" if near else f"flows here: {', '.join(request.flows)}"
        raise LaunchError(f"{start.where}: there is no [flow.{start.flow}] at commit {request.commit[:12]}", hint)
    if start.flow == request.flow and not request.settings.file:
        _check_words(request, start)
    return start


def _check_words(request: Request, start: Start) -> None:
    settings = request.settings
    for action in start.evals:
        if action not in settings.evals:
            hint = f"it has {', '.join(sorted(settings.evals))}"
            raise LaunchError(f"{start.where}: [flow.{start.flow}.evals] has no action type {action}", hint)
    read = partial(read_file, Path(request.place.workdir))
    try:
        load(settings.config, read, start.overrides, settings.defaults, settings.schema)
    except BuilderError as error:
        raise LaunchError(f"{start.where}: {error.message}", error.hint) from error


def _prepared(request: Request, starter: Starter, start: Start) -> Callable[[], object]:
    try:
        return starter.prepare(request, start)
    except BuilderError as error:
        raise LaunchError(f"{start.where}: {error.message}", error.hint) from error


def _plain(start: Start) -> Any:
    import msgspec

    return msgspec.to_builtins(start)
