"""From a commit's flows and the schedules in force to what goes to a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from builder.cli.starting import Asked, Prepared, Ready, Target, make_ready, prepare, template_of
from builder.errors import DeployError, SettingsError, UsageError
from builder.settings.filling_in import how_to_add

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.deploy.deployment import Deployment
    from builder.model.tree import Commit
    from builder.settings import ScheduleSettings, Settings
    from builder.steps.request import Request


def chosen_flows(settings: Settings, wanted: Sequence[str]) -> list[str]:
    """The flows to deploy, sorted; all of the commit's when none is named. Raises UsageError for one that is not there."""
    if not settings.flow:
        raise UsageError("there is no [flow.NAME] in the settings", how_to_add("finetune", settings))
    for name in wanted:
        if name not in settings.flow:
            raise UsageError(f"there is no [flow.{name}] in the settings", f"flows here: {', '.join(sorted(settings.flow))}")
    return sorted(set(wanted or settings.flow))


def chosen_schedules(settings: Settings, flows: Iterable[str]) -> dict[str, ScheduleSettings]:
    """The schedules of these flows, by name. Raises SettingsError for one that starts nothing, or never."""
    for name, schedule in settings.schedule.items():
        if not schedule.cron:
            raise SettingsError(f"[schedule.{name}] has no cron", 'such as cron = "0 2 * * *"')
        if flow_of(name, schedule) not in settings.flow:
            hint = f"flows of the commit: {', '.join(sorted(settings.flow))}"
            raise SettingsError(f"[schedule.{name}] flow: the commit has no [flow.{flow_of(name, schedule)}]", hint)
    return {name: schedule for name, schedule in sorted(settings.schedule.items()) if flow_of(name, schedule) in flows}


def flow_of(name: str, schedule: ScheduleSettings) -> str:
    return schedule.flow or name


def deployment_of(maker: Maker, commit: Commit, flows: Sequence[str]) -> Deployment:
    """Everything that can be refused is refused before the image is made, if it is missing."""
    from builder.deploy.cron import cron_workflow
    from builder.deploy.deployment import Deployment
    from builder.runs.prepare import starter_for

    settings = maker.settings_at(commit)
    schedules = chosen_schedules(settings, flows)
    prepared = {flow: _prepared(maker, commit, flow) for flow in _with_following(flows, settings)}
    starting = {name: _scheduled(maker, commit, name, schedule) for name, schedule in schedules.items()}
    ready = {flow: make_ready(maker, one) for flow, one in prepared.items()}
    templates = {flow: template_of(one) for flow, one in ready.items()}
    starters = [starter for one in list(ready.values())[:1] if (starter := starter_for(one.request, settings))]
    crons = [
        cron_workflow(name, schedule, templates[flow_of(name, schedule)], _unnamed(make_ready(maker, starting[name])))
        for name, schedule in schedules.items()
    ]
    at_once = {flow: queue.at_once for flow, queue in settings.queue.items() if queue.at_once}
    return Deployment((*starters, *templates.values()), at_once, tuple(crons), frozenset(settings.schedule), maker.store.name)


def _with_following(flows: Sequence[str], settings: Settings) -> list[str]:
    """The flows, and those that start by themselves when one of them has ended."""
    from builder.runs.prepare import following_flows

    return sorted({*flows, *(name for flow in flows for name in following_flows(flow, settings))})


def require_image(maker: Maker, commit: Commit) -> None:
    """For whoever only looks: a template names its image's digest. Raises DeployError when there is no image."""
    from builder.image.report import existing_image

    if existing_image(maker.store, commit, commit.sha) is None:
        sha = commit.sha[:12]
        raise DeployError(f"{sha} has no image yet, so nobody knows its templates", f"`builder image --commit {sha}` makes it")


def _prepared(maker: Maker, commit: Commit, flow: str) -> Prepared:
    from builder.runs.prepare import Overrides

    return prepare(maker, Asked(Target(flow, commit.sha), Overrides(), on="argo"))


def _scheduled(maker: Maker, commit: Commit, name: str, schedule: ScheduleSettings) -> Prepared:
    from builder.deploy.cron import who
    from builder.runs.prepare import Overrides
    from builder.steps.request import Origin

    asked = Asked(Target(flow_of(name, schedule), commit.sha), Overrides.parse(schedule.set), on="argo")
    return prepare(maker, asked, Origin(who=who(name), schedule=name))


def _unnamed(ready: Ready) -> Request:
    """The name of the run is the workflow's, which Argo gives it."""
    return replace(ready.request, run="")
