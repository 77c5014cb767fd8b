"""A schedule as an Argo CronWorkflow: one name for good, and the template of the commit that it starts now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builder.deploy.arguments import arguments_of
from builder.deploy.names import MANAGED, schedule_name
from builder.deploy.render import API, OWN_REQUEST, REQUEST
from builder.errors import DeployError
from builder.settings import ScheduleSettings
from builder.steps.request import Request

SCHEDULE_LABEL = "builder/schedule"

_HISTORY = 1000
"""Argo would keep three runs that succeeded and one that failed; how long runs stay, [deploy] says."""


def cron_workflow(name: str, schedule: ScheduleSettings, template: Mapping[str, Any], request: Request) -> dict[str, Any]:
    """The CronWorkflow that starts `template` with the request, which names no run. Its runs are called `<name>-<time>`.

    `suspend` is there only where the settings say so: what somebody paused in the cluster stays paused.
    """
    pointed = pointing(name, template, request)
    timed = {
        "schedules": [schedule.cron],  # `schedule` is gone from Argo 4, and this is there from 3.6 on
        "timezone": schedule.timezone,
        "concurrencyPolicy": schedule.concurrency,
        "successfulJobsHistoryLimit": _HISTORY,
        "failedJobsHistoryLimit": _HISTORY,
    }
    metadata = {**pointed["metadata"], "name": schedule_name(name), "namespace": template["metadata"]["namespace"]}
    paused = {"suspend": True} if schedule.suspend else {}
    return {"apiVersion": API, "kind": "CronWorkflow", "metadata": metadata, "spec": {**timed, **pointed["spec"], **paused}}


def pointing(name: str, template: Mapping[str, Any], request: Request) -> dict[str, Any]:
    """What of a CronWorkflow says which template it starts, and how."""
    marks = template["metadata"]
    labels = {key: value for key, value in marks["labels"].items() if key.startswith("builder/")}
    annotations = {key: marks["annotations"][key] for key in ("builder/reference", "builder/subject")}
    spec = {
        "workflowMetadata": {"labels": {**labels, SCHEDULE_LABEL: name}, "annotations": {**annotations, "builder/who": who(name)}},
        "workflowSpec": {"workflowTemplateRef": {"name": marks["name"]}, "arguments": arguments_of(template, request)},
    }
    return {"metadata": {"labels": {**MANAGED, **labels, SCHEDULE_LABEL: name}, "annotations": annotations}, "spec": spec}


def who(schedule: str) -> str:
    """Who started a run that nobody did: the same whoever deployed, so that two people render the same."""
    return f"schedule {schedule}"


def template_of(cron: Mapping[str, Any]) -> str:
    """The template that the CronWorkflow starts; empty when it names none."""
    return str(cron["spec"].get("workflowSpec", {}).get("workflowTemplateRef", {}).get("name", ""))


def commit_of(cron: Mapping[str, Any]) -> str:
    """The commit that the CronWorkflow starts; empty when it says none."""
    return str((cron["metadata"].get("labels") or {}).get("builder/commit", ""))


def told(cron: Mapping[str, Any]) -> str:
    """The commit that the CronWorkflow starts, for people: `8c1f0a2b3d4e Train on more clicks`; empty when it says none."""
    subject = (cron["metadata"].get("annotations") or {}).get("builder/subject") or ""
    return f"{commit_of(cron)[:12]} {subject}".strip()


def request_of(cron: Mapping[str, Any]) -> Request:
    """What its runs are told. Raises DeployError when it is none of ours."""
    parameters = cron["spec"].get("workflowSpec", {}).get("arguments", {}).get("parameters") or ()
    packed = next((found.get("value", "") for found in parameters if found.get("name") in (REQUEST, OWN_REQUEST)), "")
    try:
        return Request.unpack(packed)
    except ValueError as error:  # of base64, JSON and msgspec alike
        text = f"cronworkflow {cron['metadata']['name']} holds no request that can be read"
        raise DeployError(text, "`builder deploy` writes it anew") from error


def image_of(cron: Mapping[str, Any]) -> str:
    """The repository of the image that the CronWorkflow runs: the CronWorkflows of one namespace may be of several teams."""
    return str((cron["metadata"].get("annotations") or {}).get("builder/reference", "")).partition("@")[0]
