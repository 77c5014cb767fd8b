"""What messages say, in Slack's markup: of a run's start, of a step, of a run's end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from builder.model.run import RunResult
from builder.notify.text import block, code, escaped, link
from builder.steps import markdown
from builder.steps.links import links_of
from builder.steps.perform import rule_for
from builder.steps.request import Request

_SIGNS = {"started": ":arrow_forward:", "succeeded": ":white_check_mark:"}
_BAD = ":x:"


def of_start(request: Request) -> str:
    lines = [f"{_SIGNS['started']} *{title(request)}* started on {request.on}{_who(request)}", _subject(request)]
    return _joined([*lines, _about(request.run, links_of(request))])


def of_step(request: Request, step: str, event: str, record: Mapping[str, Any]) -> str:
    """`event` is `started`, `succeeded` or `failed`; what is known of it is in the step's record."""
    head = f"{_SIGNS.get(event, _BAD)} *{escaped(step)}* {_what(event, record)} - {escaped(title(request))}, {escaped(request.run)}"
    if event != "failed":
        return head
    return _joined([f"{head}{mention(request, step)}", *failure(str(record.get("error", "")), str(record.get("hint", "")))])


def of_end(request: Request, result: RunResult, step: str = "") -> str:
    """`step` is the one that ended the run, if one did."""
    head = f"{_SIGNS.get(result.state, _BAD)} *{escaped(title(request))}* {result.state}{_in(result.seconds)}"
    if result.state == "succeeded":
        return _joined([head, _subject(request), *_summary(result), _about(request.run, result.links)])
    at = f" at {escaped(step)}" if step else ""
    why = failure(result.error, result.hint)
    next_command = f"next: {code(f'builder show {request.run}')}"
    return _joined([f"{head}{at}{mention(request, step)}", _subject(request), *why, next_command, _about(request.run, result.links)])


def title(request: Request) -> str:
    return f"{request.flow}@{request.commit[:7]}"


def failure(error: str, hint: str) -> Iterator[str]:
    """As `builder show` has it: the error with the end of the log, and what to do."""
    if error:
        yield block(error)
    if hint:
        yield escaped(hint)


def mention(request: Request, step: str) -> str:
    """Whom the settings name for the step's failures, as it stands there: `<@U012ABC>` is Slack's own markup."""
    whom = rule_for(request.settings, step).notify if step else ""
    return f" {whom}" if whom else ""


def _what(event: str, record: Mapping[str, Any]) -> str:
    if event == "started":
        return event
    if record.get("state") == "missing":
        return "failed, the run goes on without it"
    told = [f"{name} {markdown.number(record[name])}" for name in ("score", "loss") if record.get(name) is not None]
    tries = f", at try {record['tries']}" if record.get("tries", 1) > 1 else ""
    return f"{event}{_in(record.get('seconds', 0.0))}{tries}{': ' if told else ''}{', '.join(told)}"


def _summary(result: RunResult) -> Iterator[str]:
    """Scores with their difference to the last green run, holes, and what exactly ran."""
    yield block("\n".join(_rows(result)))
    for action, why in result.holes.items():
        yield f"*{escaped(action)}* has no score: {escaped((why.splitlines() or ['?'])[0])}"
    for name, value in markdown.facts(result):
        if name != "run":
            yield f"{name}: {escaped(value) if name == 'compared with' else code(value.strip('`'))}"


def _rows(result: RunResult) -> Iterator[str]:
    before = result.baseline.get("scores", {})
    rows = [("loss", result.loss, result.baseline.get("loss"))]
    rows += [(action, score, before.get(action)) for action, score in result.scores.items()]
    width = max(len(name) for name, _, _ in rows)
    for name, value, earlier in rows:
        yield f"{name:{width}}  {markdown.number(value):>9}  {markdown.change(value, earlier):>9}".rstrip()


def _who(request: Request) -> str:
    origin = request.origin
    by = origin.schedule or origin.who
    return f" by {escaped(by)}" if by else ""


def _subject(request: Request) -> str:
    return f"_{escaped(request.subject)}_" if request.subject else ""


def _about(run: str, links: Mapping[str, str]) -> str:
    return " | ".join([code(run), *(link(name, url) for name, url in links.items())])


def _in(seconds: float) -> str:
    if not seconds:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f" in {seconds:.1f} s"
    return f" in {whole // 60} min {whole % 60} s" if whole < 3600 else f" in {whole // 3600} h {whole % 3600 // 60} min"


def _joined(lines: list[str]) -> str:
    return "\n".join(line for line in lines if line)
