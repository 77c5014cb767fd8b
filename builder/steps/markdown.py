"""A run's report as Markdown: scores with their difference to the last green run, holes, links, and what exactly ran."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builder.model.run import RunResult, finite
from builder.steps.jobs import environments_of, jobs_of
from builder.steps.outcome import Records
from builder.steps.request import Request

_BACKTICK = "\N{MODIFIER LETTER GRAVE ACCENT}"  # looks like one, and ends no code
_HARMLESS = re.compile(r"[\w .,:;/'\"?()-]*")
_EMPHASIS = re.compile(r"\b_|_\b|^\s*-")


def render(request: Request, result: RunResult, records: Records) -> str:
    return f"{summary(request, result)}\n{details(result, records)}"


def summary(request: Request, result: RunResult) -> str:
    """What one looks at first."""
    return "\n".join(_summary(request, result)) + "\n"


def details(result: RunResult, records: Records) -> str:
    """Where to look further, and what exactly ran. `records` are those of the run's steps."""
    return "\n".join([*_details(result), *_jobs(records), *_environments(records)]) + "\n"


def _summary(request: Request, result: RunResult) -> Iterator[str]:
    yield f"# {result.flow} at {result.commit[:12]}: {result.state}\n"
    if request.subject:
        yield f"{plain(request.subject)}\n"
    yield from score_table(result)
    if result.baseline:
        yield f"\nChange: since {result.baseline['run']}, the last green run of the default branch."
    for action, why in result.holes.items():
        yield f"\n**{plain(action)}** has no score: {plain((why.splitlines() or ['?'])[0])}"


def _details(result: RunResult) -> Iterator[str]:
    web = {name: url for name, url in result.links.items() if is_web(url)}
    if web:
        yield " · ".join(f"[{plain(name)}]({_target(url)})" for name, url in web.items()) + "\n"
    for name, value in facts(result):
        yield f"- {name}: {value}"
    for name, place in result.links.items():
        if name not in web:
            yield f"- {plain(name)}: `{place}`"


def _jobs(records: Records) -> Iterator[str]:
    """The jobs of Slurm, with the links to their logs."""
    for step, job in jobs_of(records).items():
        links = records[step].get("links") or {}
        told = [f"[{plain(name)}]({_target(url)})" if is_web(url) else f"{plain(name)}: `{url}`" for name, url in links.items()]
        yield " · ".join([f"- {step}: job `{job['id']}` on {plain(str(job['cluster']))}", *told])


def _environments(records: Records) -> Iterator[str]:
    for step, where in environments_of(records).items():
        yield f"- {step}: {plain(where)}"


def _target(url: str) -> str:
    return url.replace(" ", "%20").replace(")", "%29")


def is_web(url: str) -> bool:
    """Whether a browser can open it: a path or `s3://...` is only named."""
    return url.startswith(("http://", "https://"))


def plain(text: str) -> str:
    """Any text so that it is shown as it is: as code where it has a letter that means something. Metaflow's cards know no escapes."""
    if _HARMLESS.fullmatch(text) and not _EMPHASIS.search(text):
        return text
    return f"`{text.replace('`', _BACKTICK)}`"


def score_table(result: RunResult) -> Iterator[str]:
    """A row for each action type and the loss; the third column, if there is a baseline, is the difference to it."""
    before = result.baseline.get("scores", {})
    rows = [
        (plain(action).replace("|", "\\|"), number(score), change(score, before.get(action))) for action, score in result.scores.items()
    ]
    if result.loss is not None:
        rows.append(("loss", number(result.loss), change(result.loss, result.baseline.get("loss"))))
    columns = 3 if result.baseline else 2
    for row in (("", "value", "change"), ("---", "---:", "---:"), *rows):
        yield f"| {' | '.join(row[:columns])} |"


def facts(result: RunResult) -> Iterator[tuple[str, str]]:
    yield "run", f"`{result.run}`"
    yield "commit", f"`{result.commit}`"
    yield "image", f"`{result.reference}`"
    yield "configuration", f"`{result.config}`"
    if result.checkpoint:
        yield "checkpoint", f"`{result.checkpoint}`"
    if result.baseline:
        yield "compared with", f"`{result.baseline['run']}` at `{str(result.baseline['commit'])[:12]}`"


def number(value: float | None) -> str:
    return "-" if finite(value) is None else f"{value:.4f}"


def change(value: float | None, before: float | None) -> str:
    if finite(value) is None or before is None:
        return ""
    return f"{value - before:+.4f}"  # type: ignore[operator]  # finite
