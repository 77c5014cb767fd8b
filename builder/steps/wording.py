"""What messages say, in Slack's markup: of a run's start, of a step, of a run's end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from builder.model.run import RunResult
from builder.model.units import duration
from builder.notify.text import block, code, escaped, link
from builder.steps import markdown, notices
from builder.steps.explain import Explanation, end_in_words, explanation_of
from builder.steps.jobs import JOB, in_words, is_waiting, jobs_of
from builder.steps.links import links_of
from builder.steps.outcome import Records
from builder.steps.perform import rule_for
from builder.steps.request import Request
from builder.steps.root import ledger_of

_SIGNS = {"started": ":arrow_forward:", "queued": ":hourglass_flowing_sand:", "succeeded": ":white_check_mark:"}
_BAD = ":x:"


def of_start(request: Request) -> str:
    lines = [f"{_SIGNS['started']} *{title(request)}* started on {request.on}{_who(request)}", _subject(request)]
    return _joined([*lines, _about(request.run, links_of(request)), _exactly(request)])


def of_step(request: Request, step: str, event: str, record: Mapping[str, Any]) -> str:
    """`event` is `started`, `succeeded` or `failed`; what is known of it is in the step's record."""
    head = f"{_SIGNS.get(event, _BAD)} *{escaped(step)}* {_what(event, record)} - {escaped(title(request))}, {escaped(request.run)}"
    if event != "failed":
        return _joined([head, _exactly(request, step, record)])
    told = explanation_of(request.run, {step: {**record, "state": "failed"}}, "failed")
    return _joined([f"{head}{mention(request, step)}", *_failure(told), _exactly(request, step, record)])


def of_job(request: Request, step: str, record: Mapping[str, Any]) -> str:
    """How the step's job stands in Slurm's queue."""
    sign = _SIGNS["queued" if is_waiting(record[JOB]) else "started"]
    head = f"{sign} *{escaped(step)}*: {escaped(in_words(record[JOB]))} - {escaped(title(request))}, {escaped(request.run)}"
    return _joined([head, _exactly(request, step, record)])


def of_end(request: Request, result: RunResult, records: Records) -> str:
    """`result` is what came of the run, `records` are all that its steps wrote."""
    took = f" in {duration(result.seconds)}" if result.seconds else ""
    head = f"{_SIGNS.get(result.state, _BAD)} *{escaped(title(request))}* {result.state}"
    last = "\n".join([_about(request.run, result.links), *filter(None, [_jobs(records)])])
    if result.state == "succeeded":
        return _joined([f"{head}{took}", _subject(request), *_summary(result), last])
    told = explanation_of(request.run, records, result.state)
    at = f" in step {escaped(told.step)}" if told.step else ""
    if result.state == "stopped":
        at, told = f"{at} {escaped(told.error)}".rstrip(), replace(told, error="")
    known = replace(told, said=()) if _heard(request, told, records) else told
    more = f"more: {code(f'builder show {request.run}')}, next: {code(told.next)}"
    exactly = _exactly(request, config=result.config)
    return _joined([f"{head}{at}{_how(told)}{took}{mention(request, told.step)}", _subject(request), *_failure(known), more, last, exactly])


def _heard(request: Request, told: Explanation, records: Records) -> bool:
    """Whether people have read the end of the log already, in the message about the step."""
    return records.get(told.step, {}).get("state") == "failed" and notices.is_wanted(request.notify, told.step, "failed")


def title(request: Request) -> str:
    return f"{request.flow}@{request.commit[:7]}"


def _failure(told: Explanation) -> Iterator[str]:
    """As `builder show` has it: what happened, the end of the log, and what to do."""
    if told.error or told.said:
        yield block("\n".join([*told.error.splitlines(), *(f"  {line}" for line in told.said)]))
    if told.hint:
        yield escaped(told.hint)


def _how(told: Explanation) -> str:
    return f": {escaped(told.end)}" if told.end else ""


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
    took = f" in {duration(record['seconds'])}" if "seconds" in record else ""
    how = f": {end_in_words(str(record['end']))}" if event == "failed" and end_in_words(str(record.get("end", ""))) else ""
    return f"{event}{how}{took}{tries}{': ' if told else ''}{', '.join(told)}"


def _summary(result: RunResult) -> Iterator[str]:
    """Scores with their difference to the last green run, holes, and what exactly ran."""
    yield block("\n".join(_rows(result)))
    for action, why in result.holes.items():
        yield f"*{escaped(action)}* has no score: {escaped((why.splitlines() or ['?'])[0])}"
    for name, value in markdown.facts(result):
        if name != "run":
            yield f"{name}: {escaped(value)}"


def _rows(result: RunResult) -> Iterator[str]:
    before = result.baseline.get("scores", {})
    rows = [("loss", result.loss, result.baseline.get("loss"))] if result.loss is not None or not result.scores else []
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


def _exactly(request: Request, step: str = "", record: Mapping[str, Any] | None = None, config: str = "") -> str:
    """What exactly runs: commit, image, configuration (known once it is resolved), tracker; of a step its job in Slurm and its log."""
    record = record or {}
    config = config or str(record.get("config") or _config(request) if step else "")
    told = [f"commit {code(request.commit[:12])}", f"image {code(_short(request.reference))}"]
    told += [f"config {code(_short(config))}"] if config else []
    told += [_job(record[JOB])] if record.get(JOB, {}).get("id") else []
    links = links_of(request, step, record.get(JOB)) if step else {}
    told += [link(name, url) for name, url in links.items()]
    told += [f"log {code(f'builder logs {request.run} {step}')}"] if "log" in record else []
    told += [link("mlflow", request.tracker.mlflow)] if request.tracker.mlflow else []
    return " | ".join(told)


def _short(digest: str) -> str:
    return digest.rpartition("sha256:")[2][:12]


def _config(request: Request) -> str:
    """The hash of the configuration that the run's first step resolved. Messages are sent aside: to look it up holds up nobody."""
    return str(ledger_of(request).read(request.run).get("start", {}).get("config", ""))


def _job(job: Mapping[str, Any]) -> str:
    return f"job {code(str(job['id']))} on {escaped(str(job['cluster']))}"


def _jobs(records: Records) -> str:
    return " | ".join(f"{escaped(step)}: {_job(job)}" for step, job in jobs_of(records).items())


def _joined(lines: list[str]) -> str:
    return "\n".join(line for line in lines if line)
