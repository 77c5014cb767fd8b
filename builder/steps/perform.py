"""Does a step: again after an end that the settings forgive, or not at all where an earlier run did it; writes down how it stands."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from builder.data.ledger import now
from builder.errors import BuilderError, LaunchError
from builder.settings import ErrorSettings, FlowSettings, seconds
from builder.steps import notices, order
from builder.steps.request import Task
from builder.steps.root import ledger_of

T = TypeVar("T")
Facts = dict[str, Any]
LOST = "lost"
_OF_THE_OTHER_RUN = frozenset({"schema", "run", "step", "host", "attempt", "started", "ended", "log", "tries", "failures", "links", "job"})


class UnansweredError(LaunchError):
    """Somebody else did not do in time what only he can: the run goes on without, whatever the settings say of failures."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, "timeout")


@dataclass(frozen=True, slots=True)
class Failure:
    """How a try ended: `failed`, `exit:3`, `timeout`, `killed`, `memory`, `lost` or `cancelled`; what to say, and what to do next."""

    end: str
    error: str
    hint: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        if isinstance(error, LaunchError):
            return cls(error.end, error.message, error.hint)
        if isinstance(error, BuilderError):
            return cls("failed", error.message, error.hint)
        return cls("failed", f"{type(error).__name__}: {error}")


def perform(
    task: Task,
    step: str,
    kind: type[T],
    work: Callable[[Facts], T],
    instead: Callable[[Failure], T] | None = None,
    *,
    log: Path | None = None,
    waits: bool = False,
) -> T:
    """Runs `work`, which may put what is worth knowing into the dictionary it gets, and keeps what it returns (a `kind`) in the ledger.

    `log` is the file that the step's command writes to; `instead` makes what to go on with, where the settings say so after a failure.
    `waits`: it waits for somebody else, and when its pod is lost another one goes on waiting. Raises what `work` raised last.
    """
    record = Record(task, step, log)
    kept = kept_result(task, step)
    if kept is not None:
        known = {name: value for name, value in kept.items() if name not in _OF_THE_OTHER_RUN}
        record.write("succeeded", {**known, "kept": kept.get("kept") or task.request.origin.retried, "ended": now()})
        return _restored(kept["result"], kind)
    rule = rule_for(task.request.settings, step)
    failures = [] if waits else record.earlier()
    facts, goes_on = Facts(), _goes_on(rule, instead)
    while not failures or _forgiven(rule, failures):
        if failures:
            _wait(record, rule, failures)
        facts = {"tries": len(failures) + 1}
        record.write("running", {"tries": len(failures) + 1})
        try:
            result = work(facts)
        except Exception as error:
            failures = [*failures, Failure.of(error)]
            if isinstance(error, UnansweredError) and instead is not None:
                goes_on = True
                break
            if not _forgiven(rule, failures) and not goes_on:
                record.ended("failed", facts, failures)
                raise
        except BaseException as error:  # the step is asked to end
            record.ended("stopped", facts, [*failures, Failure("killed", f"interrupted: {type(error).__name__}")])
            raise
        else:
            record.ended("succeeded", {**facts, "result": _plain(result)}, failures)
            return result
    if instead is None or not goes_on:
        record.ended("failed", {}, failures)
        raise LaunchError(failures[-1].error, failures[-1].hint, failures[-1].end)
    result = instead(failures[-1])
    record.ended("missing", {**facts, "result": _plain(result)}, failures)
    return result


def rule_for(settings: FlowSettings, step: str) -> ErrorSettings:
    """What the settings say of the step's failures; `evaluate-click` is `evaluate` where it has no table of its own."""
    errors = settings.errors
    return errors.get(step) or errors.get(step.partition("-")[0]) or ErrorSettings()


def kept_result(task: Task, step: str) -> dict[str, Any] | None:
    """What the retried run's record says of the step, if it succeeded there and is not to be done again."""
    origin = task.request.origin
    if not origin.retried or order.comes_from(step, origin.redo):
        return None
    found = ledger_of(task.request).read(origin.retried).get(step)
    return found if found is not None and found["state"] == "succeeded" and "result" in found else None


class Record:
    """The step's record in the ledger, of which this process is the only writer."""

    def __init__(self, task: Task, step: str, log: Path | None) -> None:
        self._task = task
        self._step = step
        self._ledger = ledger_of(task.request)
        self._facts: Facts = {"commit": task.request.commit, "host": socket.gethostname(), "attempt": task.attempt, "started": now()}
        if log:
            self._facts["log"] = str(log)

    def earlier(self) -> list[Failure]:
        """What became of the attempts before this one: their pods are gone, and wrote at most that they were running."""
        if self._task.attempt == 0:
            return []
        before = self._ledger.read(self._task.request.run).get(self._step, {})
        told = [Failure(**failure) for failure in before.get("failures", ())]
        lost = Failure(LOST, f"{self._task.request.run}: step {self._step}: its pod ended before it could say why")
        return [*told, *[lost] * max(self._task.attempt - len(told), 1 if before.get("state") == "running" else 0)]

    def write(self, state: str, facts: Mapping[str, Any]) -> None:
        record = {**self._facts, **facts, "state": state}
        self._ledger.write(self._task.request.run, self._step, record)
        notices.of_step(self._task.request, self._step, record)

    def ended(self, state: str, facts: Mapping[str, Any], failures: list[Failure]) -> None:
        told: Facts = {"failures": [_plain(failure) for failure in failures], "tries": len(failures) + (state == "succeeded")}
        if failures and state != "succeeded":
            told |= {"end": failures[-1].end, "error": failures[-1].error, "hint": failures[-1].hint}
        self.write(state, {**facts, **told, "ended": now()})


def matches(end: str, ends: tuple[str, ...]) -> bool:
    """Whether an end is among those that the settings list: `failed` stands for every exit code, `lost` for `stage`, too."""
    return end in ends or (end.startswith("exit:") and "failed" in ends) or (end == "stage" and "lost" in ends)


def _forgiven(rule: ErrorSettings, failures: list[Failure]) -> bool:
    return len(failures) <= rule.retry and matches(failures[-1].end, rule.on)


def _goes_on(rule: ErrorSettings, instead: object) -> bool:
    return instead is not None and (rule.otherwise == "continue" or rule.fallback is not None)


def _wait(record: Record, rule: ErrorSettings, failures: list[Failure]) -> None:
    pause = seconds(rule.backoff) * 2 ** (len(failures) - 1)
    record.write("waiting", {"failures": [_plain(failure) for failure in failures], "pause": pause})
    time.sleep(pause)


def _plain(value: object) -> Any:
    import msgspec

    return msgspec.to_builtins(value)


def _restored(value: Any, kind: type[T]) -> T:
    import msgspec

    return msgspec.convert(value, kind)
