"""What Argo says of a workflow that failed, in our words. It knows what no step could write down: its process was gone, or never there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from builder.data.ledger import RUN
from builder.steps.request import Request

Reason = Callable[[str], str]
"""What kept a pod of that name from starting; empty where nothing is known."""

STOPPED = "Stopped"
"""As a workflow's status: somebody asked for its end. Argo itself only says that it failed."""

_OF_OTHERS = re.compile(r"child '|No more retries left|Max duration limit|$")
_ON_THE_NODE = "Pod was active on the node"
"""So Kubernetes begins about a pod whose time was up: [deploy] pending_timeout of the first step's, of others what the run had left."""

FIRST = "start"
_SHUTDOWN = "workflow shutdown with strategy"
_TERMINATED = re.compile(r"\w+: (\w+ \(exit code \d+\)).*", re.DOTALL)
"""How a container ended; after that comes the end of its log."""

_PULL = re.compile(r"pull|ErrImage", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Death:
    """How a run died: at which step (empty when unknown), the end as the settings name it or `stopped`, what to say and what to do."""

    step: str
    end: str
    error: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Late:
    """A pod whose time was up; `began`: its step had written that it runs."""

    step: str
    pod: str
    message: str
    began: bool


def death_of(request: Request, status: str, failures: Sequence[Mapping[str, Any]], records: Mapping[str, Any], reason: Reason) -> Death:
    """`failures` is what `parse` gives, `records` the run's in the ledger."""
    if was_stopped(status, failures):
        return Death(_going(records, ""), "stopped", f"{request.run} was stopped")
    told = direct(failures)
    if not told:
        return Death(_going(records, ""), "failed", f"{request.run}: Argo ended the workflow: {status}")
    first = told[0]
    template, message = str(first.get("templateName", "")), _TERMINATED.sub(r"\1", _message(first))
    step = _going(records, template)
    where = f"{request.run}: step {step} failed"
    if message.startswith("OOMKilled"):
        amount = request.launching(step).pod.memory
        return Death(
            step, "memory", f"{where}: its pod was killed: out of memory, it had {amount}", f"give it more: [launch.{step}.pod] memory"
        )
    if "deadline" in message.lower():
        return _late(request, where, Late(step, str(first.get("podName", "")), message, began=step in records), reason)
    end = "lost" if "deleted" in message or "evicted" in message.lower() else "failed"
    return Death(step, end, f"{where}: its pod ended before it could say why: {message}", f"its log: builder logs {request.run} {step}")


def direct(failures: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of pods, in the order of their ends; the others only say that another failed."""
    return sorted((failure for failure in failures if not _OF_OTHERS.match(_message(failure))), key=_finished)


def was_stopped(status: str, failures: Sequence[Mapping[str, Any]]) -> bool:
    return status == STOPPED or any(_message(failure).startswith(_SHUTDOWN) for failure in failures)


def _late(request: Request, where: str, late: Late, reason: Reason) -> Death:
    """A step that wrote nothing has never begun."""
    why = "" if late.began else reason(late.pod)
    if _PULL.search(why):
        hint = f"is {request.reference} in the registry, and may the nodes read it ([deploy] pull_secrets)?"
        return Death(late.step, "failed", f"{where}: it never began: its image cannot be pulled: {why}", hint)
    if not late.began and (why or (late.step == FIRST and late.message.startswith(_ON_THE_NODE))):
        return Death(late.step, "failed", f"{where}: it never began: {why or late.message}", f"kubectl describe pod {late.pod} says more")
    return Death(late.step, "timeout", f"{where}: its time was up: {late.message}", "[deploy] timeout is how long a run may take")


def _going(records: Mapping[str, Any], template: str) -> str:
    """The step of a template; of the template that is done for every action type, the one that is under way."""
    going = [step for step, record in records.items() if step != RUN and record.get("state") in ("running", "waiting")]
    return next((step for step in going if step.partition("-")[0] == template or not template), template)


def _message(failure: Mapping[str, Any]) -> str:
    return str(failure.get("message") or "")


def _finished(failure: Mapping[str, Any]) -> str:
    return str(failure.get("finishedAt") or "9")


def parse(text: str) -> list[dict[str, Any]]:
    """Argo's `workflow.failures`: a JSON list, inside a JSON string in some versions; where nothing failed it is left as it stands.

    https://argo-workflows.readthedocs.io/en/release-3.7/variables/#exit-handler
    """
    if not text or text.startswith("{{"):
        return []
    try:
        found = json.loads(text)
        found = json.loads(found) if isinstance(found, str) else found
    except ValueError:
        return [{"displayName": "workflow", "message": text[:500]}]
    return [failure for failure in found or [] if isinstance(failure, dict)]
