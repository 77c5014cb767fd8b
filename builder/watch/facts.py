"""What there is at one moment: jobs of Slurm, workflows and schedules of Argo, runs of the ledger. Times are seconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from builder.launch.slurm.survey import Listed

ARGO, LEDGER = "Argo", "the data root"
"""Sources, beside the bastions, which have the name of their host."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the ledger and whatever executes it have it. `state` is what it is now, `written` what the ledger says.

    `working` is when its first step began; `slurm` are those steps of it that wait for a job now, with its bastion;
    `stop` says who asked for its end, at `stop_at`; `handled` that Argo's handler wrote its end.
    """

    name: str
    flow: str
    on: str
    state: str
    written: str
    is_open: bool
    started: float
    working: float | None = None
    ended: float | None = None
    schedule: str = ""
    detail: str = ""
    stop: str = ""
    stop_at: float | None = None
    handled: bool = False
    slurm: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow of the namespace. `run` is empty where it is none of a run's, such as a starter; `phase` empty until Argo has seen it."""

    name: str
    phase: str
    created: float
    started: float | None = None
    finished: float | None = None
    message: str = ""
    flow: str = ""
    schedule: str = ""
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """A CronWorkflow that this tool made. `since` is when it was deployed last; `last` when Argo started a run of it last."""

    name: str
    cron: str
    timezone: str
    since: float
    last: float | None = None
    paused: bool = False
    going: tuple[str, ...] = ()
    concurrency: str = "Forbid"


@dataclass(frozen=True, slots=True)
class World:
    """All of it. `jobs` by bastion, with times by this machine's clock; `usual` has the seconds that a flow usually takes (`flow@on`), and
    a step of it (`flow/step`). `planned` are the schedules of the settings; `unseen` says of each source that could not be asked why.
    """

    now: float
    jobs: Mapping[str, tuple[Listed, ...]] = field(default_factory=dict)
    workflows: tuple[Workflow, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    runs: tuple[Run, ...] = ()
    usual: Mapping[str, float] = field(default_factory=dict)
    planned: tuple[str, ...] = ()
    unseen: Mapping[str, str] = field(default_factory=dict)

    def run(self, name: str) -> Run | None:
        return next((run for run in self.runs if run.name == name), None)
