"""How a run stands, or why it ended as it did, in plain lines: what `builder show` prints, and what messages say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from builder.data.ledger import EXIT, RUN, seconds_of
from builder.model.units import duration
from builder.steps.command import LAST_LINES
from builder.steps.outcome import Records, facts_of, failed_step, state_of, steps_of, why

_TAIL = "; its last lines:"
"""Between what happened and the end of the log, in the error of a step (steps/command.py)."""

_ENDS = {
    "timeout": "its time was up",
    "killed": "killed by a signal",
    "memory": "out of memory",
    "cancelled": "somebody cancelled its job",
    "lost": "its machine or pod went away before it could say why",
    "stage": "its job failed in what goes before or after the command",
}
_GONE = "it is gone, and nobody wrote its end"
_REMEDIES = {
    "memory": "give it more: [launch.{step}.pod] memory",
    "timeout": "give it more time: [launch.{step}] timeout",
    "lost": "[flow.{flow}.errors.{step}] retry = 1 tries again by itself",
    "stage": "the end of its log says why: builder logs {run} {step}",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """`step` is where it failed, or where it is now; `end` how, in words; both may be empty. `error` is what happened, in one or a few
    lines, and `said` the last lines of the step's log (none when nobody could keep them). `next` is the command to type next.
    """

    run: str
    state: str
    step: str = ""
    end: str = ""
    error: str = ""
    said: tuple[str, ...] = ()
    hint: str = ""
    seconds: float | None = None
    tries: int = 1
    holes: tuple[str, ...] = ()
    next: str = ""


def explain(run: str, records: Records, state: str = "") -> list[str]:
    """The lines for a person. `state` is what is known better than the records do, such as `lost`."""
    return list(lines_of(explanation_of(run, records, state)))


def explanation_of(run: str, records: Records, state: str = "") -> Explanation:
    state = state or state_of(records)
    step = _step(records, state)
    record = records.get(step, {})
    error, said, hint, end = _told(run, step, records, state)
    return Explanation(
        run=run,
        state=state,
        step=step,
        end=_GONE if state == "lost" else end_in_words(end) if state == "failed" else "",
        error=error,
        said=said,
        hint=hint or _REMEDIES.get(end, "").format(step=step or "default", flow=facts_of(records).get("flow", "NAME"), run=run),
        seconds=seconds_between(record) if step else seconds_of_run(records),
        tries=int(record.get("tries", 1)),
        holes=tuple(_holes(records)),
        next=_next(run, state),
    )


def lines_of(told: Explanation) -> Iterator[str]:
    where = f" in step {told.step}" if told.step and told.state in ("failed", "stopped", "lost") else ""
    how = f": {told.end}" if told.end else ""
    took = f" after {took_in_words(told.seconds)}" if told.seconds is not None and told.state in ("failed", "stopped") else ""
    again = f", tried {told.tries} times" if told.tries > 1 else ""
    if told.state in ("running", "waiting") and told.step:
        yield f"{told.run} is {told.state}: step {told.step}{again}"
    else:
        yield f"{told.run} {_verb(told.state)}{where}{how}{took}{again}"
    yield from told.error.splitlines()
    yield from (f"  {line}" for line in told.said)
    yield from (f"it went on without {hole}" for hole in told.holes)
    if told.hint:
        yield f"hint: {told.hint}"


def end_in_words(end: str) -> str:
    """`exit code 3` of `exit:3`; empty where it is no more than that it failed."""
    return f"exit code {end[5:]}" if end.startswith("exit:") else _ENDS.get(end, "")


def took_in_words(seconds: float) -> str:
    """The ledger tells times in whole seconds: none of them is less than one."""
    return duration(seconds) if seconds else "less than 1 s"


def seconds_between(record: Mapping[str, Any]) -> float | None:
    """How long what a record is about took; None while it goes on."""
    if "seconds" in record:
        return float(record["seconds"])
    return max(0.0, seconds_of(record["ended"]) - seconds_of(record["started"])) if record.get("ended") and record.get("started") else None


def seconds_of_run(records: Records) -> float | None:
    """From the start of the run to its end, waiting included; None while it goes on. Who watched it knows better than whole seconds do."""
    watched = records.get(RUN, {})
    if "seconds" in watched and watched.get("ended") == ended_of(records):
        return float(watched["seconds"])
    started, ended = started_of(records), ended_of(records)
    return max(0.0, seconds_of(ended) - seconds_of(started)) if started and ended else None


def started_of(records: Records) -> str:
    """When the run was started (UTC, as the ledger writes it); empty when nothing is known of it."""
    return str(facts_of(records).get("started", "")) or min((str(record["started"]) for record in records.values()), default="")


def ended_of(records: Records) -> str:
    """When the run ended; empty while it goes on."""
    for step in (EXIT, RUN, "end"):
        if records.get(step, {}).get("ended"):
            return str(records[step]["ended"])
    return ""


def _step(records: Records, state: str) -> str:
    """Where it failed, or where it is: the step that says so, else the one that could not say how it ended, else what Argo says."""
    if state == "succeeded":
        return ""
    if first := failed_step(records) if state == "failed" else "":
        return first
    at = str(records.get(EXIT, {}).get("at", ""))
    going = [step for step, record in steps_of(records).items() if record["state"] in ("running", "waiting", "stopped")]
    return next((step for step in going if step.startswith(at)), at)


def _told(run: str, step: str, records: Records, state: str) -> tuple[str, tuple[str, ...], str, str]:
    """What happened, the end of the log, what to do, and the end as the settings write it."""
    error = why(records) if state in ("failed", "stopped") else None
    if error is None:
        return ("", (), "", "lost") if state == "lost" else ("", (), "", "")
    what, _, tail = error.message.partition(f"{_TAIL}\n")
    return what.removeprefix(f"{run}: step {step} failed: ").removeprefix(f"{run} was stopped").strip(), _lines(tail), error.hint, error.end


def _lines(tail: str) -> tuple[str, ...]:
    return tuple(line.removeprefix("  ") for line in tail.splitlines()[-LAST_LINES:])


def _holes(records: Records) -> Iterator[str]:
    for step, record in steps_of(records).items():
        if record["state"] == "missing":
            yield f"{step}: {str(record.get('error', 'it failed')).splitlines()[0]}"


def _verb(state: str) -> str:
    known = {"lost": "is lost", "stopped": "was stopped", "unknown": "is not known"}
    return known.get(state, state if state in ("succeeded", "failed") else f"is {state}")


def _next(run: str, state: str) -> str:
    if state in ("failed", "stopped", "lost"):
        return f"builder retry {run}"
    return f"builder compare {run}" if state == "succeeded" else "" if state == "unknown" else f"builder logs {run} -f"
