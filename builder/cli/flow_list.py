"""What `builder status --flows` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from builder.cli import output
from builder.errors import BuilderError, UsageError
from builder.settings.filling_in import how_to_add

if TYPE_CHECKING:
    from builder.cli.reading import Reader
    from builder.runs.flows import FlowFacts
    from builder.runs.history import Seen

_LONGEST = 60


def show_flows(reader: Reader, only: str, form: str) -> None:
    """Every flow of the settings in force, with the configuration as it is in the working tree."""
    found = flows_of(reader, only)
    last = last_runs(reader, [facts.name for facts in found])
    if form == "json":
        output.document([as_json(facts, last.get(facts.name)) for facts in found])
    elif form == "name":
        for facts in found:
            output.result(facts.name)
    elif found:
        headers = ("FLOW", "IS", "PARAMETERS", "SCHEDULE", "RUNS ON", "LAST RESULT")
        output.table(headers, [_row(facts, last.get(facts.name)) for facts in found])
    else:
        output.note(f"the settings have no flow; {how_to_add('finetune', reader.settings)}")


def flows_of(reader: Reader, only: str = "") -> list[FlowFacts]:
    """One that cannot be read is a warning."""
    from builder.runs.flows import flow_facts

    settings, found = reader.settings, []
    if only and only not in settings.flow:
        raise UsageError(f"there is no [flow.{only}] in the settings", f"flows here: {', '.join(sorted(settings.flow)) or 'none'}")
    for name in sorted(settings.flow):
        if only in ("", name):
            try:
                found.append(flow_facts(name, settings, reader.read_file))
            except BuilderError as error:
                output.warn(f"[flow.{name}] is left out: {error.message}")
    return found


def last_runs(reader: Reader, flows: list[str]) -> dict[str, Seen]:
    """The newest run of each flow."""
    from builder.runs.history import Filter

    wanted = {flow: reader.runs(Filter(flow=flow), 1) for flow in flows}
    return {flow: runs[0] for flow, runs in wanted.items() if runs}


def _row(facts: FlowFacts, last: Seen | None) -> tuple[str, ...]:
    return (facts.name, facts.kind, parameters(facts), schedules(facts), places(facts), outcome(last) if last else "never ran")


def parameters(facts: FlowFacts) -> str:
    """`lr=0.1 epochs=8 evals=click,type`, as the command line takes them."""
    words = [f"{name}={'' if value is None else value}" for name, value in facts.parameters.items()]
    if facts.evals:
        words.append(f"evals={','.join(facts.evals)}")
    text = " ".join(words)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def schedules(facts: FlowFacts) -> str:
    return ", ".join(f"{name}: {schedule.cron} {schedule.timezone}" for name, schedule in facts.schedules.items())


def places(facts: FlowFacts) -> str:
    elsewhere = [f"{step} on {place}" for step, place in facts.places.items() if place != "here"]
    return ", ".join([facts.on, *elsewhere])


def outcome(seen: Seen) -> str:
    """`succeeded click 0.9100 type 0.8700 (finetune-abc1234-0f0f0f)`."""
    from builder.cli.following import number

    scores = [f"{action} {number(score)}" for action, score in seen.result.scores.items()]
    return " ".join([seen.state, *scores, f"({seen.run})"])


def as_json(facts: FlowFacts, last: Seen | None) -> dict[str, Any]:
    from builder.cli.status import as_json as run_as_json

    return {
        "flow": facts.name,
        "kind": facts.kind,
        "description": facts.description,
        "parameters": dict(facts.parameters),
        "evals": list(facts.evals),
        "schedules": {name: _schedule(schedule) for name, schedule in facts.schedules.items()},
        "on": facts.on,
        "places": dict(facts.places),
        "origin": facts.origin,
        "last": run_as_json(last) if last else None,
    }


def _schedule(schedule: Any) -> Mapping[str, Any]:
    return {"cron": schedule.cron, "timezone": schedule.timezone, "set": list(schedule.set)}
