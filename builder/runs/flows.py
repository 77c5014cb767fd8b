"""What a flow is, by the settings: its parameters with their values, when it starts by itself, where its steps run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from builder.cluster.interface import Cluster
from builder.settings import FlowSettings, ScheduleSettings, Settings

Read = Callable[[str], bytes | None]
"""Gives a file by its path from the repository's root; None when there is none."""


@dataclass(frozen=True, slots=True)
class FlowFacts:
    """`kind` is the built-in flow that it is, or the team's own file. `parameters`: what `key=value` may change, with the values now;
    `schedules` by name; `places`: step to `here`, `slurm` or `jobset`, where the settings say so; `origin` the file that says it all.
    """

    name: str
    kind: str
    description: str
    parameters: Mapping[str, Any]
    evals: tuple[str, ...]
    schedules: Mapping[str, ScheduleSettings]
    on: str
    places: Mapping[str, str]
    origin: str


def flow_facts(name: str, settings: Settings, read: Read) -> FlowFacts:
    """Raises SettingsError when its configuration or its own file cannot be read."""
    flow = settings.flow[name]
    return FlowFacts(
        name=name,
        kind=flow.file or flow.use or name,
        description=flow.description,
        parameters=parameters_of(name, flow, read),
        evals=tuple(sorted(flow.evals)),
        schedules=schedules_of(name, settings),
        on=settings.run.on,
        places={step: launch.on for step, launch in settings.launch.items()},
        origin=settings.origin.get(f"flow.{name}", ""),
    )


def parameters_of(name: str, flow: FlowSettings, read: Read) -> dict[str, Any]:
    """Key to value; None where a team's own flow has no default."""
    from builder.runs.flow_file import read_flow_file
    from builder.steps.config import flat, load

    if flow.file:
        return dict(read_flow_file(flow.file, read(flow.file), f"[flow.{name}] file").parameters)
    return flat(load(flow.config, read, (), flow.defaults).values)


def schedules_of(flow: str, settings: Settings) -> dict[str, ScheduleSettings]:
    """Those that start the flow, by name."""
    return {name: schedule for name, schedule in settings.schedule.items() if (schedule.flow or name) == flow}


def live_schedules(cluster: Cluster, flow: str) -> list[dict[str, Any]]:
    """What each of the flow's CronWorkflows starts now: schedule, cron, timezone, suspended, template, commit, subject,
    reference, rolled_back (the commit that it was rolled back from, or empty).
    """
    return [_live(cron) for cron in cluster.list("cronworkflows", {"builder/flow": flow})]


def _live(cron: Mapping[str, Any]) -> dict[str, Any]:
    metadata, spec = cron["metadata"], cron["spec"]
    marks = metadata.get("annotations") or {}
    return {
        "schedule": metadata["name"],
        "cron": ", ".join(spec.get("schedules") or ()),
        "timezone": spec.get("timezone", ""),
        "suspended": bool(spec.get("suspend")),
        "template": spec.get("workflowSpec", {}).get("workflowTemplateRef", {}).get("name", ""),
        "commit": metadata["labels"].get("builder/commit", ""),
        "subject": marks.get("builder/subject", ""),
        "reference": marks.get("builder/reference", ""),
        "rolled_back": marks.get("builder/rolled-back", ""),
    }
