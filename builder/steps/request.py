"""What a flow's steps are told: the request, which travels in one Metaflow parameter."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from builder.errors import SettingsError
from builder.model.oci import canonical_json, sha256
from builder.settings import DataSettings, DeploySettings, FlowSettings, LaunchSettings, MetaflowSettings, NotifySettings, TrackerSettings

SAME = "same"
"""The revision of a run that is started at the very commit of the run which asks for it."""

_PACKED = "request-"
_LONGEST = 120_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where the steps of a run find the commit's tree, and where they write. All paths are absolute.

    `workdir` holds the commit's tree; `pythonpath` and `env` are what [image] gives every command; `python` is the
    interpreter that `python` means in a command, or empty for the one on PATH; `output` is the run's own directory.
    `echo`: what commands write goes to the step's own output, too, where a cluster's log reader finds it.
    """

    workdir: str
    output: str
    pythonpath: tuple[str, ...] = ()
    python: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    echo: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a run comes from. `retried` is the run that it goes on from, doing `redo` and everything after it anew; `parent` the run
    that started it, `depth` how many did before it. `main`: the commit is on the default branch; `schedule` what started it.
    """

    who: str = ""
    retried: str = ""
    redo: str = ""
    parent: str = ""
    depth: int = 0
    main: bool = False
    schedule: str = ""


@dataclass(frozen=True, slots=True)
class InImage:
    """Where steps that run elsewhere find their environment: an image without the commit's files, by digest, and its working directory.
    Both are empty where nothing of the run needs one.
    """

    reference: str = ""
    workdir: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """All that the steps of a built-in flow need to know. Nothing in it is secret.

    `run` is empty in a template: there the workflow's name is the run's. `config` is the configuration file, relative to the commit's
    root; overrides are `key=value`; `evals` the action types to evaluate. `data` has an absolute root. `flows` are those of the commit;
    `then` the flows that start when this one has ended, with how it must have (`succeeded`, `failed`, `ended`). `starter` is the
    template on Argo of what starts runs at other revisions, where there is one. `restore` names the list of files that `slim-repo` took
    out of the commit and commands get back, `sha256:<64 hex>` (builder/data/restore_list.py); empty where there are none. `initial` is the
    checkpoint (`sha256:<hex>`, in the data root) from which training starts, where it does from one. `environment` is what containers
    of Slurm run in. `in_force` are the settings in force as TOML, for flows that look after all others; empty for those that run commands.
    `deploy` says where and as whom gangs of pods run; the default where there are none.
    """

    run: str
    flow: str
    commit: str
    reference: str
    settings: FlowSettings
    place: Place
    data: DataSettings
    evals: tuple[str, ...] = ()
    config: str = ""
    overrides: tuple[str, ...] = ()
    subject: str = ""
    on: str = "local"
    namespace: str = ""
    origin: Origin = field(default_factory=Origin)
    launch: Mapping[str, LaunchSettings] = field(default_factory=dict)
    notify: NotifySettings = field(default_factory=NotifySettings)
    tracker: TrackerSettings = field(default_factory=TrackerSettings)
    metaflow: MetaflowSettings = field(default_factory=MetaflowSettings)
    links: Mapping[str, str] = field(default_factory=dict)
    flows: tuple[str, ...] = ()
    then: Mapping[str, str] = field(default_factory=dict)
    starter: str = ""
    restore: str = ""
    in_force: str = ""
    initial: str = ""
    environment: InImage = field(default_factory=InImage)
    deploy: DeploySettings = field(default_factory=DeploySettings)

    def to_json(self) -> dict[str, Any]:
        import msgspec

        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Request:
        import msgspec

        return msgspec.convert(raw, cls)

    def pack(self) -> str:
        """As letters, digits, `-`, `_` and `=`: Metaflow on Argo hands parameters through a shell, which would read anything else.

        Raises SettingsError when it is longer than a word of a command line may be (128 KiB on Linux, execve(2)).
        """
        packed = _PACKED + base64.urlsafe_b64encode(json.dumps(self.to_json(), sort_keys=True).encode()).decode()
        if len(packed) > _LONGEST:
            hint = "keep long texts in files of the repository"
            raise SettingsError(f"[flow.{self.flow}] is too long for a run: {len(packed)} bytes, at most {_LONGEST}", hint)
        return packed

    @staticmethod
    def plain(text: str) -> dict[str, Any] | None:
        """What `pack` made, of whatever release, as JSON has it; None where it made no such text."""
        try:
            found = json.loads(base64.urlsafe_b64decode(text.removeprefix(_PACKED))) if text.startswith(_PACKED) else None
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    @classmethod
    def unpack(cls, text: str) -> Request:
        return cls.from_json(json.loads(base64.urlsafe_b64decode(text.removeprefix(_PACKED))))

    def launching(self, step: str) -> LaunchSettings:
        """Where the step's command runs; `evaluate-click` is `evaluate` where it has no table of its own."""
        names = (step, step.partition("-")[0], "default")
        return next((self.launch[name] for name in names if name in self.launch), LaunchSettings())

    @property
    def kind(self) -> str:
        """The built-in flow that it is."""
        return self.settings.use or self.flow

    @property
    def slurm_keys(self) -> tuple[str, ...]:
        """Environment variables with private keys for Slurm's bastions."""
        return tuple({launch.slurm.identity_env for launch in self.launch.values() if launch.slurm.identity_env})


def identity(request: Request, config: str) -> str:
    """32 hex digits that are the same for runs which do the same: image, files restored, first checkpoint, configuration, commands."""
    import msgspec

    digest = request.reference.rpartition("@")[2]
    evals = {action: msgspec.to_builtins(request.settings.evals[action]) for action in request.evals}
    own = [*filter(None, (request.settings.file, request.restore, request.initial))]
    return sha256(canonical_json([request.flow, digest, config, list(request.settings.command), evals, *own]))[7:39]


@dataclass(frozen=True, slots=True)
class Start:
    """A run that another one asks for. `run` is the name that it gets, the same however often it is asked for.

    `rev` is a revision, or `same` for the commit of the run that asks; `overrides` are `key=value`; `on` is a target, or empty for that
    of the run that asks; `where` names for people what asks: a line of a step's outbox, or a key of the settings; `initial` is the
    checkpoint from which it starts.
    """

    run: str
    flow: str
    origin: Origin
    rev: str = SAME
    overrides: tuple[str, ...] = ()
    evals: tuple[str, ...] = ()
    on: str = ""
    where: str = ""
    initial: str = ""

    def pack(self) -> str:
        """As letters, digits, `-`, `_` and `=`."""
        import msgspec

        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode()

    @classmethod
    def unpack(cls, text: str) -> Start:
        """Raises ValueError on what `pack` would not write."""
        import msgspec

        return msgspec.json.decode(base64.urlsafe_b64decode(text), type=cls)


class Starter(Protocol):
    """Starts runs from where a step is executed."""

    def prepare(self, request: Request, start: Start) -> Callable[[], object]:
        """Finds out whether the run that `request` asks for can be started, and gives what starts it, once and for all.

        Raises BuilderError. Nothing is started yet.
        """


@dataclass(frozen=True, slots=True)
class Task:
    """One step of a run: the request under the run's name, and the how-manieth attempt of Metaflow's this is (0: the first).

    `starter` starts what the step's command asks for; None where whoever started this run does that, too.
    """

    request: Request
    attempt: int = 0
    starter: Starter | None = None


def task_of(packed: str, run_id: str, attempt: int) -> Task:
    """The task that a step of a flow does. On Argo Metaflow's `run_id` is `argo-` and the workflow's name."""
    request = Request.unpack(packed)
    return Task(request if request.run else replace(request, run=run_id.removeprefix("argo-")), attempt)
