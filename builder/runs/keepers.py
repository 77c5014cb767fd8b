"""The built-in flows that look after what all others leave, as requests: they are told the settings in force, and make no records."""

from __future__ import annotations

from dataclasses import replace

from builder.deploy.starter import portable
from builder.settings import LaunchSettings, PodSettings, Settings, TrackerSettings
from builder.settings.keeping import KEEPERS, is_keeper
from builder.steps.request import Request

_POD = PodSettings(cpu="0.2", memory="512Mi")


def keeper_of(name: str, settings: Settings) -> str:
    """Which of them the flow is; empty when it is none. A [flow.watch] with a file, or another `use`, is the team's own."""
    flow = settings.flow.get(name)
    if flow is None:
        return name if name in KEEPERS else ""
    return (flow.use or name) if is_keeper(name, flow) else ""


def keeper_request(request: Request, settings: Settings) -> Request:
    """Of the flow at a commit, whose image it runs in, and whose words do not matter. Only that it fails is told of its runs."""
    failing = replace(settings.in_force.notify, on=("failed",), steps=("run",))
    small = {"default": LaunchSettings(pod=_POD)}
    return replace(request, launch=small, notify=failing, tracker=TrackerSettings(), then={}, in_force=portable(settings.in_force))
