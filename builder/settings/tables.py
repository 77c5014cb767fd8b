"""The tables of builder.toml as frozen values. Each key's default, check and meaning stand here, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from builder.settings import checks

DEFAULT_STORE = "oci:.builder/images"


def key(default: Any, meaning: str, check: Callable[[Any], None] | None = None) -> Any:
    """A key of a table: `meaning` goes to the reference, `check` raises ValueError(what was expected)."""
    return field(default=default, metadata={"meaning": meaning, "check": check})


def table(meaning: str, check: Callable[[Any], None] | None = None) -> Any:
    """A key whose value is a table, empty by default."""
    return field(default_factory=dict, metadata={"meaning": meaning, "check": check})


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
class ScoreSettings:
    """Where a score is found when a command does not write the metrics contract."""

    file: str = key("", "a JSON file that the command writes", checks.inside)
    path: str = key("", "the place in that file, such as `$.click.acc`")
    log: str = key("", "a regular expression over the command's output; its first group is the score")

    def __post_init__(self) -> None:
        if bool(self.file) == bool(self.log) or bool(self.file) != bool(self.path):
            raise ValueError("file and path, or log")


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """A flow: a built-in one with the team's commands, or the team's own Metaflow file."""

    use: str = key("", "the built-in flow it is; the table's own name when empty")
    file: str = key("", "the team's own Metaflow flow, read from the commit", checks.inside)
    command: tuple[str, ...] = key((), "what trains; `{config}` stands for the resolved configuration file", checks.command)
    config: str = key("", "the configuration file, relative to the repository's root", checks.inside)
    evals: Mapping[str, tuple[str, ...]] = table("a command for every action type that is evaluated")
    scores: Mapping[str, ScoreSettings] = table("not used yet: where a score is found, for commands that do not write metrics")
    checkpoint: str = key("", "not used yet: where the command leaves its checkpoint, such as `runs/*/last`", checks.inside)
    python: str = key("", "the interpreter for runs on this machine; the active environment's when empty")
    description: str = key("", "not used yet: one line for people")


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How runs start when the command line does not say."""

    on: str = key("local", "where runs go: `local`, this machine; anything else is refused until there is more")


@dataclass(frozen=True, slots=True)
class DataSettings:
    """Where what runs leave behind is kept."""

    root: str = key(".builder/data", "a directory, or `s3://bucket/prefix`")


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything a builder.toml may say."""

    image: ImageSettings = field(default_factory=ImageSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    flow: Mapping[str, FlowSettings] = table("the flows by name", checks.flow_names)
    run: RunSettings = field(default_factory=RunSettings)
    data: DataSettings = field(default_factory=DataSettings)
    deploy: Mapping[str, Any] = table("deployment")
    launch: Mapping[str, Any] = table("where heavy steps run")
    queue: Mapping[str, Any] = table("queueing")
    notify: Mapping[str, Any] = table("notifications")
    links: Mapping[str, Any] = table("links to other tools")
    schedule: Mapping[str, Any] = table("what runs when")


@dataclass(frozen=True, slots=True)
class Settings(Tables):
    """The tables, the file they came from, and per table where it came from.

    `root` is what relative paths in the settings start from: the file's directory, else the git repository's, else
    where the search began. `origin` has a text for each top-level table and each `flow.NAME`.
    """

    file: Path | None = None
    root: Path = Path()
    origin: Mapping[str, str] = field(default_factory=dict)
