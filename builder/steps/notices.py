"""Which messages go out, and when: of a run's start, of its steps, of its end. They never fail a step, nor hold it up for long."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from builder.data.ledger import RUN
from builder.errors import BuilderError
from builder.model.run import RunResult
from builder.steps.request import Request
from builder.steps.root import objects_of

_PATIENCE = 6.0  # seconds: after these the step goes on, whatever becomes of the message
THREAD = "builder-notice"
_FIRST = "start"
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


def of_end(request: Request, result: RunResult, step: str = "") -> None:
    """Tells how the run ended; `step` is the one that ended it."""
    from builder.steps import wording

    event = "succeeded" if result.state == "succeeded" else "failed"
    _tell(request, RUN, event, lambda: wording.of_end(request, result, step), loud=True)


def _tell(request: Request, step: str, event: str, text: Callable[[], str], *, loud: bool = False) -> None:
    wanted = request.notify
    if not wanted.slack or event not in wanted.on or not _named(step, wanted.steps):
        return
    thread = threading.Thread(target=_send, args=(request, text, loud), name=THREAD, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    if thread.is_alive():
        _say(f"no answer within {_PATIENCE:.0f} s")


def _named(step: str, steps: tuple[str, ...]) -> bool:
    return not steps or step in steps or step.partition("-")[0] in steps


def _send(request: Request, text: Callable[[], str], loud: bool) -> None:
    """The one place where whatever goes wrong ends. Only our own errors are repeated: others may quote a URL, which is a secret."""
    try:
        from builder.notify import Thread, open_notifier

        Thread(open_notifier(request.notify, os.environ), objects_of(request), request.run).send(text(), loud=loud)
    except BuilderError as error:
        _say(f"{error.message}; {error.hint}" if error.hint else error.message)
    except Exception as error:  # noqa: BLE001 - a message is never worth a run
        _say(type(error).__name__)


def _say(what: str) -> None:
    sys.stderr.write(f"builder: nobody was told: {what}\n")
    sys.stderr.flush()
