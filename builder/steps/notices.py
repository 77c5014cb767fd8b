"""Which messages go out, and when: of a run's start, of its steps, of its end. They never fail a step, nor hold it up for long."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from builder.data.ledger import RUN
from builder.errors import BuilderError
from builder.model.run import RunResult
from builder.settings import NotifySettings
from builder.steps.outcome import Records
from builder.steps.patience import aside
from builder.steps.request import Request
from builder.steps.root import objects_of

_PATIENCE = 6.0  # seconds: after these the step goes on, whatever becomes of the message
_FIRST = "start"
_ASKED: set[str] = set()
_EVENTS = {"running": "started", "succeeded": "succeeded", "failed": "failed", "missing": "failed"}


def of_step(request: Request, step: str, record: Mapping[str, Any]) -> None:
    """Tells of the step's record, if it is news. The first step's start is the run's."""
    event = _EVENTS.get(str(record["state"]), "")
    again = event == "started" and (record.get("tries", 1) > 1 or record.get("attempt", 0) > 0)
    if not event or again or record.get("kept"):
        return
    from builder.steps import wording

    if (step, event) == (_FIRST, "started"):
        _tell(request, RUN, event, lambda: wording.of_start(request))
    else:
        _tell(request, step, event, lambda: wording.of_step(request, step, event, record), loud=event == "failed")


def of_job(request: Request, step: str, news: str, record: Mapping[str, Any]) -> None:
    """Tells how the step's job stands in Slurm's queue: once for each `news`, whichever pods wait for it."""
    if not is_wanted(request.notify, step, "queued"):
        return
    from builder.steps import wording

    if _is_first(request, news):
        _tell(request, step, "queued", lambda: wording.of_job(request, step, record))


def once_of_step(request: Request, step: str, record: Mapping[str, Any]) -> None:
    """As `of_step`, where many write down how a step stands: what one of them has told, nobody tells again. A start comes before an end."""
    if not request.notify.slack:
        return
    for state in dict.fromkeys(("running", str(record["state"]))):
        if _is_first(request, f"{step}-{state}"):
            of_step(request, step, {**record, "state": state, "tries": record.get("tries", 1) if state != "running" else 1})


def _is_first(request: Request, news: str) -> bool:
    """This process does not ask twice."""
    key = f"notify/{request.run}/{news}"
    if key in _ASKED:
        return False
    _ASKED.add(key)
    try:
        return objects_of(request).put(key, b"{}", new=True)
    except BuilderError:
        return False


def of_end(request: Request, result: RunResult, records: Records) -> None:
    """Tells how the run ended, of which these are the records."""
    from builder.steps import wording

    event = "succeeded" if result.state == "succeeded" else "failed"
    _tell(request, RUN, event, lambda: wording.of_end(request, result, records), loud=True)


def _tell(request: Request, step: str, event: str, text: Callable[[], str], *, loud: bool = False) -> None:
    if not is_wanted(request.notify, step, event):
        return
    aside(lambda: _send(request, text(), loud), _PATIENCE, "nobody was told")


def is_wanted(settings: NotifySettings, step: str, event: str) -> bool:
    named = not settings.steps or step in settings.steps or step.partition("-")[0] in settings.steps
    return settings.slack and event in settings.on and named


def _send(request: Request, text: str, loud: bool) -> str:
    from builder.notify import Thread, open_notifier

    Thread(open_notifier(request.notify, os.environ), objects_of(request), request.run).send(text, loud=loud)
    return ""
