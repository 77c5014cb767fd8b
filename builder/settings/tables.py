"""The tables of builder.toml as frozen values. Each key's default, check and meaning stand here or beside it, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from builder.settings import checks
from builder.settings.devbox import DevboxSettings
from builder.settings.fields import key, table
from builder.settings.flows import FlowSettings
from builder.settings.keeping import GcSettings, HousekeepSettings, WatchSettings
from builder.settings.pipelines import CiSettings
from builder.settings.running import (
    DataSettings,
    DeploySettings,
    ForgeSettings,
    LaunchSettings,
    MetaflowSettings,
    NotifySettings,
    QueueSettings,
    RunSettings,
    ScheduleSettings,
    TrackerSettings,
)

DEFAULT_STORE = "oci:.builder/images"


@dataclass(frozen=True, slots=True)
class DepsSettings:
    """The dependencies that come on top of the base: from a Dockerfile, or from a lock file without Docker."""

    dockerfile: str = key("", "the Dockerfile that builds the dependencies image; takes the base as `ARG BASE`", checks.inside)
    context: tuple[str, ...] = key((), "files and directories that the Dockerfile copies: exactly these are sent", checks.all_inside)
    args: Mapping[str, str] = table("build arguments", checks.variables)
    target: str = key("", "the stage of the Dockerfile to build")
    lock: str = key("", "a requirements file with hashes, installed without Docker", checks.inside)
    provided: tuple[str, ...] = key((), "packages of the lock that the base has already, such as torch")

    def __post_init__(self) -> None:
        if bool(self.dockerfile) == bool(self.lock):
            raise ValueError("exactly one of dockerfile and lock")
        if self.lock and (self.context or self.args or self.target):
            raise ValueError("context, args and target only with dockerfile")
        if self.dockerfile and self.provided:
            raise ValueError("provided only with lock")


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """What a commit's image is made of. Taken whole from the commit's own file when it has this table."""

    base: str = key("", "the image below: `registry/name@sha256:...`, `oci:DIR@sha256:...` or `scratch`; `builder base pin` writes it")
    workdir: str = key("/code", "where the commit's files are in the image, and where commands start", checks.workdir)
    pythonpath: tuple[str, ...] = key((".",), "put before PYTHONPATH; relative to workdir, or absolute", checks.import_path)
    exclude: tuple[str, ...] = key((), "files to leave out, as in .gitignore: `data/`, `*.bin`, `/docs`, `!keep.bin`", checks.patterns)
    lfs: Literal["pointers", "fetch"] = key("pointers", "Git LFS files: leave the pointers, or fetch what they point to")
    submodules: Literal["include", "skip"] = key("include", "files of submodules: put them in, or leave them out")
    tool: str = key("", "the version of this tool whose layers go in; empty for the one that runs")
    python: str = key("", "the base's Python, such as `3.12`, where it cannot be seen from the base", checks.python)
    source: str = key("", "the repository's URL for the image's labels; it must not hold a password", checks.public_url)
    platform: str = key("linux/amd64", "which image to take from a multi-platform base", checks.platform)
    env: Mapping[str, str] = table("environment variables of the image", checks.variables)
    deps: DepsSettings | None = field(default=None, metadata={"meaning": "the dependencies; none when absent"})


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where images live."""

    to: str = key("", f"`registry.host/name`, `oci:DIR` or `docker:`; `{DEFAULT_STORE}` when empty")
    push: str = key("", "instead of `to`: the repository's name for this machine, where nodes know it as `pull`")
    pull: str = key("", "the repository's name for the nodes, where it differs (in-cluster, VPC)")
    insecure: bool = key(False, "speak http:// to the registry of the store, not to a base's (loopback needs no leave)")

    def __post_init__(self) -> None:
        if self.to and self.push:
            raise ValueError("one of to and push")

    @property
    def target(self) -> str:
        """The store as text, never empty."""
        return self.to or self.push or DEFAULT_STORE


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything a builder.toml may say."""

    image: ImageSettings = field(default_factory=ImageSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    flow: Mapping[str, FlowSettings] = table("the flows by name", checks.flow_names)
    run: RunSettings = field(default_factory=RunSettings)
    data: DataSettings = field(default_factory=DataSettings)
    schedule: Mapping[str, ScheduleSettings] = table("what runs when, by name", checks.flow_names)
    launch: Mapping[str, LaunchSettings] = table("where steps run, by step")
    queue: Mapping[str, QueueSettings] = table("queueing, by flow")
    notify: NotifySettings = field(default_factory=NotifySettings)
    links: Mapping[str, str] = table(
        "links by name; `{run}`, `{flow}`, `{commit}`, `{workflow}`, `{namespace}` are replaced, and of a step `{step}`, `{job}` (its "
        "number in Slurm), `{job_name}`, `{job_log}`",
        checks.links,
    )
    tracker: TrackerSettings = field(default_factory=TrackerSettings)
    deploy: DeploySettings = field(default_factory=DeploySettings)
    forge: ForgeSettings = field(default_factory=ForgeSettings)
    metaflow: MetaflowSettings = field(default_factory=MetaflowSettings)
    watch: WatchSettings = field(default_factory=WatchSettings)
    housekeep: HousekeepSettings = field(default_factory=HousekeepSettings)
    gc: GcSettings = field(default_factory=GcSettings)
    ci: CiSettings = field(default_factory=CiSettings)
    devbox: DevboxSettings = field(default_factory=DevboxSettings)


@dataclass(frozen=True, slots=True)
class Settings(Tables):
    """The tables, the file they came from, and per table where it came from.

    `root` is what relative paths in the settings start from: the file's directory, else the git repository's, else
    where the search began. `origin` has a text for each top-level table and each `flow.NAME`. `now`: what is in force, where these are
    those of a commit.
    """

    file: Path | None = None
    root: Path = Path()
    origin: Mapping[str, str] = field(default_factory=dict)
    now: Settings | None = None

    @property
    def in_force(self) -> Settings:
        return self.now or self
