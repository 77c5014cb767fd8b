"""What came of a run, told from its records in the ledger alone: the same wherever it ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builder.data.ledger import EXIT, RUN
from builder.errors import LaunchError
from builder.model.run import TRAINING, RunResult
from builder.steps.order import by_beginning

Records = Mapping[str, Mapping[str, Any]]
"""Of one run, by step. `run` is written by who started it, `exit` by the handler that Argo runs at the end."""

ENDED = ("succeeded", "failed", "stopped", "lost")


def result_of(run: str, records: Records) -> RunResult:
    """The result that the last step wrote; else how far the run has come. A run of which nothing is known has state `unknown`."""
    import msgspec

    facts = facts_of(records)
    state = state_of(records)
    if "result" in records.get("end", {}):
        result = msgspec.convert(records["end"]["result"], RunResult)
        return result if state == "succeeded" else _with_state(result, state)
    scores = {record["result"]["action"]: record["result"]["score"] for step, record in records.items() if _evaluated(step, record)}
    trained = training_of(records)
    error = why(records) if state in ("failed", "stopped") else None
    return RunResult(
        run=run,
        flow=facts.get("flow", ""),
        commit=facts.get("commit", ""),
        reference=facts.get("reference", ""),
        state=state,
        config=records.get("start", {}).get("config", ""),
        identity=records.get("start", {}).get("identity", ""),
        checkpoint=trained.get("result", {}).get("checkpoint", ""),
        loss=trained.get("loss"),
        scores=scores,
        links=facts.get("links", {}),
        error=error.message if error else "",
        hint=error.hint if error else "",
    )


def training_of(records: Records) -> Mapping[str, Any]:
    """The record of the step that trained; empty when none did yet."""
    return next((records[step] for step in TRAINING if step in records), {})


def facts_of(records: Records) -> Mapping[str, Any]:
    """What is known of the run as a whole. A nightly has no starter: there the first step says it."""
    return {**records.get("start", {}), **records.get(RUN, {})}


def state_of(records: Records) -> str:
    """`starting`, `submitted`, `running`, or how it ended. What wrote down the end counts before what wrote down the start."""
    for step in (EXIT, RUN):
        if records.get(step, {}).get("state") in ENDED:
            return str(records[step]["state"])
    if records.get("end", {}).get("state") == "succeeded":
        return "succeeded"
    return "running" if steps_of(records) else str(records.get(RUN, {}).get("state", "unknown"))


def why(records: Records) -> LaunchError | None:
    """What the step that failed first wrote down; else, and of a run that was stopped, what is known of its end as a whole."""
    first = "" if state_of(records) == "stopped" else failed_step(records)
    told = records[first] if first else next((records[step] for step in (EXIT, RUN) if records.get(step, {}).get("error")), None)
    return LaunchError(str(told["error"]), str(told.get("hint", "")), str(told.get("end", "failed"))) if told else None


def failed_step(records: Records) -> str:
    """The step that failed first and could say so; empty when none did."""
    failed = [step for step, record in steps_of(records).items() if record["state"] == "failed"]
    return min(failed, key=lambda step: str(records[step]["ended"]), default="")


def steps_of(records: Records) -> Records:
    """In the order in which they began, without what was written of the run as a whole."""
    return dict(sorted(((step, record) for step, record in records.items() if step not in (RUN, EXIT)), key=by_beginning))


def state_of_step(record: Mapping[str, Any], run_state: str) -> str:
    """A step that went on when its run ended, and could not write down its own end, ended as the run did."""
    return run_state if run_state in ENDED and record["state"] not in (*ENDED, "missing") else str(record["state"])


def _evaluated(step: str, record: Mapping[str, Any]) -> bool:
    return step.startswith("evaluate-") and "result" in record


def _with_state(result: RunResult, state: str) -> RunResult:
    from dataclasses import replace

    return replace(result, state=state)
