"""From what a person asks for to a request that the steps of a flow understand."""

from __future__ import annotations

import difflib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.data_files import data_path
from builder.errors import BuilderError, SettingsError, UsageError
from builder.model.run import Place, Request
from builder.model.tree import Commit
from builder.own_folder import NAME, make_own_folder
from builder.settings import FlowSettings, Settings

EVALS = "evals"
"""The one key=value that is the flow's and not the configuration's: the action types to evaluate, with commas between."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line says after the flow: keys of the configuration, and which action types (empty: all)."""

    config: tuple[str, ...] = ()
    evals: tuple[str, ...] = ()

    @classmethod
    def parse(cls, words: Sequence[str]) -> Overrides:
        for word in words:
            if "=" not in word or word.startswith("="):
                raise UsageError(f"{word!r} is not key=value")
        chosen = [word.partition("=")[2] for word in words if word.partition("=")[0] == EVALS]
        evals = tuple(name for name in (chosen[-1].split(",") if chosen else ()) if name)
        return cls(tuple(word for word in words if word.partition("=")[0] != EVALS), evals)


@dataclass(frozen=True, slots=True)
class Directories:
    """Where this machine keeps runs: `.builder` beside the settings, and the data root."""

    state: Path
    data: Path

    @classmethod
    def of(cls, settings: Settings) -> Directories:
        root = settings.data.root
        if "://" in root:
            raise BuilderError(
                f"[data] root is {root}: runs on this machine write to a directory only", "set BUILDER_DATA_ROOT=.builder/data"
            )
        return cls(settings.root / NAME, settings.root / Path(root).expanduser())

    def make(self) -> None:
        make_own_folder(self.state)


def choose_flow(name: str, settings: Settings) -> FlowSettings:
    """`[flow.NAME]`. Raises UsageError when there is none, SettingsError when it cannot run."""
    flow = settings.flow.get(name)
    if flow is None:
        near = difflib.get_close_matches(name, settings.flow, 1)
        known = f"flows here: {', '.join(sorted(settings.flow))}" if settings.flow else "`builder init` writes one"
        raise UsageError(f"there is no [flow.{name}] in the settings", f"did you mean {near[0]}?" if near else known)
    if flow.file:
        raise SettingsError(
            f"[flow.{name}] file: flows of your own cannot be run yet", 'use = "finetune" runs your commands in the built-in flow'
        )
    if not flow.command:
        raise SettingsError(f"[flow.{name}] has no command", 'such as command = ["python", "-m", "train", "--config", "{config}"]')
    if not flow.evals:
        raise SettingsError(
            f"[flow.{name}.evals] has no action type", 'such as click = ["python", "-m", "evaluate", "--checkpoint", "{checkpoint}"]'
        )
    return flow


def flow_file(name: str, flow: FlowSettings) -> Path:
    """The built-in flow's Metaflow file. Raises SettingsError when there is no such flow."""
    try:
        return data_path(f"workflows/{flow.use or name}.py")
    except BuilderError:
        raise SettingsError(f"[flow.{name}] use: there is no built-in flow {flow.use or name!r}", 'built in: use = "finetune"') from None


def chosen_evals(name: str, flow: FlowSettings, wanted: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The evaluations to run, all when none is wanted in particular. Raises UsageError for one that is not there."""
    for action in wanted:
        if action not in flow.evals:
            raise UsageError(f"{EVALS}={action}: [flow.{name}.evals] has no such action type", f"it has {', '.join(sorted(flow.evals))}")
    chosen = {action: flow.evals[action] for action in wanted or flow.evals}
    return {action: command for action, command in chosen.items() if isinstance(command, tuple)}


def run_name(flow: str, commit: Commit) -> str:
    """Short, and new every time."""
    return f"{flow}-{commit.sha[:7]}-{secrets.token_hex(3)}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A flow at a commit, with the settings that hold for it."""

    flow: str
    commit: Commit
    settings: Settings
    overrides: Overrides
    config: str
    python: str


def make_request(wanted: Wanted, reference: str, directories: Directories) -> Request:
    """Names the run and says where it will write. Nothing is written yet."""
    settings = wanted.settings
    flow = choose_flow(wanted.flow, settings)
    run = run_name(wanted.flow, wanted.commit)
    output = directories.state / "runs" / run
    place = Place(
        workdir=str(output / "code"),
        output=str(output),
        data=str(directories.data),
        pythonpath=_below(settings.image.pythonpath, settings.image.workdir),
        python=wanted.python,
        env=dict(settings.image.env),
    )
    evals = chosen_evals(wanted.flow, flow, wanted.overrides.evals)
    return Request(
        run, wanted.flow, wanted.commit.sha, reference, tuple(flow.command), evals, place, wanted.config, wanted.overrides.config
    )


def _below(pythonpath: Sequence[str], workdir: str) -> tuple[str, ...]:
    """Absolute entries inside the image's working directory are in the commit's tree; the others are not on this machine."""
    inside = workdir.rstrip("/") + "/"
    relative = (entry.removeprefix(inside) if entry.startswith(inside) else "." if entry == workdir else entry for entry in pythonpath)
    return tuple(entry for entry in relative if not entry.startswith("/"))
