"""What is printed while a run goes on, and when it has ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from builder.cli import output
from builder.errors import LaunchError

if TYPE_CHECKING:
    from builder.model.run import RunResult

_SLOW, _SOON = 10.0, 5.0  # seconds
_ENDED = ("succeeded", "failed", "missing", "stopped")


class Steps:
    """A line on stderr for every step that ends, and one that says how to follow it: at once on a terminal, else of a slow one."""

    def __init__(self, run: str, *, here: bool) -> None:
        self._run = run
        self._here = here
        self._patience = 0.0 if output.is_terminal(sys.stderr) else _SLOW
        self._began: dict[str, float] = {}
        self._said: set[tuple[str, str, int]] = set()

    def __call__(self, step: str, record: Mapping[str, Any]) -> None:
        state, now = record["state"], time.monotonic()
        began = self._began.setdefault(step, now)
        self._tell_waiting(step, record, now - began)
        key = (step, state, record.get("tries", 0))
        if key in self._said or (state == "running" and (now - began < self._patience or "log" not in record)):
            return
        self._said.add(key)
        output.note(f"  {self._line(step, state, record)}")
        if record.get("warning"):
            output.warn(str(record["warning"]))

    def _tell_waiting(self, step: str, record: Mapping[str, Any], waited: float) -> None:
        """Once for each reason that Slurm gives: places change all the time."""
        from builder.steps.jobs import JOB, in_words, is_waiting

        job = record.get(JOB)
        if job and record["state"] == "running" and is_waiting(job) and waited >= _SOON:
            key = (step, f"waits: {job['reason']}", record.get("tries", 0))
            if key not in self._said:
                self._said.add(key)
                output.note(f"  {step}: {in_words(job)}")

    def _line(self, step: str, state: str, record: Mapping[str, Any]) -> str:
        if state == "running":
            how = f"tail -f {record['log']}" if self._here else f"builder logs {self._run} {step} -f"
            return f"{step} is running; to follow it: {how}"
        if state == "waiting":
            return f"{step} failed ({record['failures'][-1]['end']}); it is tried again in {output.duration(record['pause'])}"
        if record.get("kept"):
            return f"{step} is kept from {record['kept']}"
        took = f" in {output.duration(record['seconds'])}" if "seconds" in record else ""
        what = "failed; the run goes on without it" if state == "missing" else state
        return f"{step} {what}{took}"


def show_result(result: RunResult, form: str, following: str = "") -> None:
    """The scores, where everything is, and what may be run next."""
    if form == "json":
        output.document(result.to_json())
        return
    if result.state != "succeeded":
        if result.state not in ("failed", "stopped", "lost"):
            output.result(result.run)
        return
    before = result.baseline.get("scores", {})
    rows = [("loss", number(result.loss), difference(result.loss, result.baseline.get("loss")))] if result.loss is not None else []
    rows += [(action, number(score), difference(score, before.get(action))) for action, score in result.scores.items()]
    headers = ("METRIC", "VALUE", "CHANGE") if result.baseline else ("METRIC", "VALUE")
    if rows:
        output.table(headers, [row[: len(headers)] for row in rows], right=headers[1:])
    for action, why in result.holes.items():
        output.warn(f"{action} has no score: {why.splitlines()[0]}")
    if result.baseline:
        output.note(f"change: since {result.baseline['run']}, the last green run of the default branch")
    output.note(f"{result.run} succeeded in {output.duration(result.seconds)}; everything it wrote: {_where(result)}")
    if following:
        output.note(f"next: {following}")


def raise_if_bad(result: RunResult) -> None:
    """Raises LaunchError, so that the command ends as the run did."""
    if result.state in ("failed", "stopped", "lost"):
        raise LaunchError(result.error or f"{result.run} was {result.state}", result.hint)


def _where(result: RunResult) -> str:
    return result.links.get("directory") or result.links.get("report", "")


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def difference(value: float | None, before: float | None) -> str:
    return "" if value is None or before is None else f"{value - before:+.4f}"
