"""What `builder show FLOW` prints: where its settings come from, when it starts by itself, what is live, how it went lately."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from builder.cli import output
from builder.errors import BuilderError, UsageError
from builder.settings.filling_in import how_to_add

if TYPE_CHECKING:
    from builder.cli.reading import Reader
    from builder.runs.flows import FlowFacts
    from builder.runs.history import Seen

_LAST = 5


def show_flow(reader: Reader, name: str, form: str) -> None:
    from builder.runs.flows import flow_facts
    from builder.runs.history import Filter

    if name not in reader.settings.flow:
        raise UsageError(f"there is no [flow.{name}] in the settings", how_to_add(name, reader.settings))
    facts = flow_facts(name, reader.settings, reader.read_file)
    runs = reader.runs(Filter(flow=name), _LAST)
    live = _live(reader, facts, runs)
    if form == "json":
        output.document(as_json(facts, live, runs))
    else:
        _print(facts, live, runs)


def _live(reader: Reader, facts: FlowFacts, runs: list[Seen]) -> list[dict[str, Any]]:
    """What the flow's schedules in the cluster start. Where the cluster cannot be asked, that is said."""
    from builder.runs.flows import live_schedules

    if not facts.schedules and not any(seen.on == "argo" for seen in runs):
        return []
    try:
        return live_schedules(reader.cluster, facts.name)
    except BuilderError as error:
        output.warn(f"what is live is not known: {error.message}")
        return []


def _print(facts: FlowFacts, live: list[dict[str, Any]], runs: list[Seen]) -> None:
    from builder.cli.flow_list import places
    from builder.cli.status import show

    is_what = f"the team's own {facts.kind}" if facts.kind.endswith(".py") else f"the built-in {facts.kind}"
    output.result(f"{facts.name} is {is_what}{f': {facts.description}' if facts.description else ''}")
    output.result(f"settings from {facts.origin}")
    rows = [(key, "" if value is None else str(value)) for key, value in facts.parameters.items()]
    output.table(("KEY", "VALUE"), [*rows, *([("evals", ",".join(facts.evals))] if facts.evals else [])])
    output.result(f"runs on {places(facts)}")
    for name, schedule in facts.schedules.items():
        output.result(f"schedule {name}: {schedule.cron} {schedule.timezone}{' '.join(['', *schedule.set])}")
    for found in live:
        paused = ", paused" if found["suspended"] else ""
        back = f", rolled back from {found['rolled_back'][:12]}" if found["rolled_back"] else ""
        output.result(f"live: {found['schedule']} starts {found['commit'][:12]} {found['subject']} ({found['template']}){paused}{back}")
    if facts.schedules and not live:
        output.result("live: nothing is deployed")
    if runs:
        output.result("")
        show(runs, "table")
    output.note(f"next: {f'builder show {runs[0].run}' if runs else f'builder run {facts.name}@HEAD'}")


def as_json(facts: FlowFacts, live: list[dict[str, Any]], runs: list[Seen]) -> dict[str, Any]:
    """The documented form (docs/reference/json.md)."""
    from builder.cli.flow_list import as_json as facts_as_json
    from builder.cli.status import as_json as run_as_json

    known = facts_as_json(facts, None)
    del known["last"]
    shown = {**known, "is": known["kind"], "live": live, "runs": [run_as_json(seen) for seen in runs]}
    return {**shown, "kind": "flow"}
