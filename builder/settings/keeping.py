"""What the flows *watch* and *housekeep* look for, and what they clear away. Taken from the settings in force, never from a commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from builder.settings import checks
from builder.settings.fields import key
from builder.settings.flows import FlowSettings
from builder.settings.running import ScheduleSettings

KEEPERS = {
    "watch": "Tells of jobs, workflows and runs that nobody else tells of.",
    "housekeep": "Clears away what nothing needs any more.",
}
"""The built-in flows that look after what all others leave: they need no table, have no commands, and no records of their own."""


PAGE = "page/index.html"
"""Where in the data root the page lies that *housekeep* writes."""


def is_keeper(name: str, flow: FlowSettings) -> bool:
    return not flow.file and (flow.use or name) in KEEPERS


def with_keepers(flows: Mapping[str, FlowSettings], schedules: Mapping[str, ScheduleSettings]) -> dict[str, FlowSettings]:
    """The flows, and those keepers that only a schedule names."""
    named = {schedule.flow or name for name, schedule in schedules.items()}
    implied = {name: FlowSettings(use=name, description=line) for name, line in KEEPERS.items() if name in named}
    return {**implied, **flows}


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """What the flow *watch* tells: beyond which times. It looks whenever `[schedule.watch]` says, and at `builder run watch`."""

    channel: str = key("", "the channel of its digests, for a bot; that of [notify] when empty")
    multiple: float = key(3.0, "a run or job takes too long beyond this many times what it usually takes", checks.more_than_one)
    limit: str = key("24h", "where nobody knows how long it usually takes: beyond this", checks.time_limit)
    silent: str = key("30m", "a job that holds GPUs hangs when its log gets no line for so long", checks.time_limit)
    pending: str = key("2h", "a job or a run that waits is told after so long, with the reason", checks.time_limit)
    gone: str = key("15m", "how long it must look as if a run's job, or a job's run, were gone", checks.duration)
    late: str = key("30m", "a schedule did not start when its run is not there so long after its time", checks.duration)
    failed: str = key("24h", "how long ago a workflow may have failed to be told", checks.time_limit)
    users: tuple[str, ...] = key((), "users of Slurm whose other jobs are looked at, too: whether they take, or wait, too long")


@dataclass(frozen=True, slots=True)
class HousekeepSettings:
    """What the flow *housekeep* clears away: whatever nothing needs, and nobody used for so long (an hour at least)."""

    workflows: str = key("30d", "workflows of runs that have ended, since their end", checks.duration)
    templates: str = key("30d", "workflow templates, since their last run", checks.duration)
    jobs: str = key("30d", "files and logs of jobs on Slurm's side, since the last change", checks.duration)
    code: str = key("14d", "code directories there, since their last use", checks.duration)
    images: str = key("60d", "images for containers there, since their last use", checks.duration)
    green: int = key(3, "so many green runs of every flow, the last ones, keep the templates of their commits", checks.not_negative)
    page: bool = key(
        True, "at its end it writes a page of commits, images, runs and scores for a browser: `page/index.html` in the data root"
    )


LEAST = 2 * 3600.0
"""Seconds in which nothing goes, whatever the options say: what was just made is about to be needed by somebody whom nobody sees yet."""


def kept_since(keep_days: int, now: float) -> float:
    """What is younger than this stays, in seconds since 1970, as `now`."""
    return now - max(LEAST, keep_days * 86400.0)


@dataclass(frozen=True, slots=True)
class GcSettings:
    """What `builder gc` asks beside what the other tables name, and what it keeps."""

    keep_days: int = key(30, "what nothing needs stays for so many days; runs that are younger need their images", checks.not_negative)
    keep_last: int = key(
        3, "so many green runs of every flow, the last ones, and as many of its schedules, keep their images", checks.not_negative
    )
    remotes: tuple[str, ...] = key((), "URLs of git repositories whose branches and tags keep images, beside the clone's own remotes")
    contexts: tuple[str, ...] = key((), "contexts of the kubeconfig: more clusters that run images of the store")
    namespaces: tuple[str, ...] = key((), "more namespaces to look at, where the account may not look at all of a cluster")
    argo_server: str = key("", "the URL of Argo's server, where workflows are archived", checks.public_url)
    argo_token_env: str = key("ARGO_TOKEN", "the environment variable with the token for it", checks.variable)
