"""A run's report as Markdown: scores with their difference to the last green run, holes, links."""

from __future__ import annotations

from collections.abc import Iterator

from builder.model.run import RunResult, finite
from builder.steps.request import Request


def render(request: Request, result: RunResult) -> str:
    return "\n".join(_lines(request, result)) + "\n"


def _lines(request: Request, result: RunResult) -> Iterator[str]:
    yield f"# {result.flow} at {result.commit[:12]}: {result.state}"
    yield ""
    if request.subject:
        yield f"{request.subject}\n"
    yield from score_table(result)
    for action, why in result.holes.items():
        yield f"\n**{action}** has no score: {why.splitlines()[0]}"
    yield ""
    for name, value in facts(result):
        yield f"- {name}: {value}"
    for name, url in result.links.items():
        yield f"- [{name}]({url})"


def score_table(result: RunResult) -> Iterator[str]:
    """A row for the loss and each action type; the third column is the difference to the baseline."""
    before = result.baseline.get("scores", {})
    yield "| | value | change |"
    yield "|---|---:|---:|"
    yield f"| loss | {number(result.loss)} | {change(result.loss, result.baseline.get('loss'))} |"
    for action, score in result.scores.items():
        yield f"| {action} | {number(score)} | {change(score, before.get(action))} |"


def facts(result: RunResult) -> Iterator[tuple[str, str]]:
    yield "run", result.run
    yield "image", f"`{result.reference}`"
    yield "configuration", f"`{result.config}`"
    yield "checkpoint", f"`{result.checkpoint}`"
    if result.baseline:
        commit = str(result.baseline["commit"])[:12]
        yield "compared with", f"{result.baseline['run']} at {commit}, the last green run of the default branch"


def number(value: float | None) -> str:
    return "-" if finite(value) is None else f"{value:.4f}"


def change(value: float | None, before: float | None) -> str:
    if finite(value) is None or before is None:
        return ""
    return f"{value - before:+.4f}"  # type: ignore[operator]  # finite
