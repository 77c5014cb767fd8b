"""From what a person asks for to a request that the steps of a flow understand."""

from __future__ import annotations

import difflib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from builder.data_files import data_path
from builder.errors import BuilderError, SettingsError, UsageError
from builder.model.tree import Commit
from builder.runs.keepers import keeper_request
from builder.runs.launches import has_gangs
from builder.settings import DataSettings, DeploySettings, ExternalSettings, FlowSettings, Settings
from builder.settings.filling_in import how_to_add
from builder.settings.keeping import is_keeper
from builder.steps import contract
from builder.steps.request import InImage, Origin, Place, Request

NO_ENVIRONMENT = InImage()

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
        keys = [word.partition("=")[0] for word in words]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice:
            raise UsageError(f"{twice} is given twice", "leave one of them out")
        return cls(tuple(word for word in words if not word.startswith(f"{EVALS}=")), _evals(words))


def _evals(words: Sequence[str]) -> tuple[str, ...]:
    """What `evals=click,type` names; nothing where it is not said."""
    for word in words:
        if word.startswith(f"{EVALS}="):
            evals = tuple(filter(None, word.partition("=")[2].split(",")))
            if not evals:
                raise UsageError(f"{word} names no action type", "leave it out to evaluate all of them")
            return evals
    return ()


def choose_flow(name: str, settings: Settings) -> FlowSettings:
    """`[flow.NAME]`. Raises UsageError when there is none, SettingsError when it cannot run."""
    flow = settings.flow.get(name)
    if flow is None:
        near = difflib.get_close_matches(name, settings.flow, 1)
        known = f"flows here: {', '.join(sorted(settings.flow))}" if settings.flow else how_to_add(name, settings)
        raise UsageError(f"there is no [flow.{name}] in the settings", f"did you mean {near[0]}?" if near else known)
    if flow.file or is_keeper(name, flow):
        return flow
    if not flow.command:
        raise SettingsError(f"[flow.{name}] has no command", 'such as command = ["python", "-m", "train", "--config", "{config}"]')
    if is_train(name, flow):
        _check_train(name, flow, settings)
    elif not flow.evals:
        raise SettingsError(
            f"[flow.{name}.evals] has no action type", 'such as click = ["python", "-m", "evaluate", "--checkpoint", "{checkpoint}"]'
        )
    return flow


def _check_train(name: str, flow: FlowSettings, settings: Settings) -> None:
    if flow.evals:
        raise SettingsError(f"[flow.{name}.evals]: train evaluates nothing", "the flow that it starts does: [flow.finetune.evals]")
    if not flow.starts:
        return
    if flow.starts not in settings.flow:
        hint = f'starts = "" in [flow.{name}] starts none'
        raise SettingsError(f"[flow.{name}] starts {flow.starts} with its checkpoint, and there is no [flow.{flow.starts}]", hint)
    if settings.flow[flow.starts].after == name:
        hint = f"`after` would start it again, without the checkpoint: leave it out of [flow.{flow.starts}]"
        raise SettingsError(f"[flow.{name}] starts {flow.starts} already", hint)


def flow_file(name: str, flow: FlowSettings) -> Path:
    """The built-in flow's Metaflow file. Raises SettingsError when there is no such flow."""
    try:
        return data_path(f"workflows/{flow.use or name}.py")
    except BuilderError:
        built_in = 'built in: use = "finetune", use = "train"'
        raise SettingsError(f"[flow.{name}] use: there is no built-in flow {flow.use or name!r}", built_in) from None


def chosen_evals(name: str, flow: FlowSettings, wanted: Sequence[str]) -> tuple[str, ...]:
    """The action types to evaluate, sorted; all when none is wanted in particular. Raises UsageError for one that is not there.

    To a team's own flow `evals` is a parameter like any other.
    """
    if flow.file:
        return ()
    for action in wanted:
        if action not in flow.evals:
            raise UsageError(f"{EVALS}={action}: [flow.{name}.evals] has no such action type", f"it has {', '.join(sorted(flow.evals))}")
    return tuple(sorted(set(wanted or flow.evals)))


def run_name(flow: str, sha: str) -> str:
    """Short, and new every time."""
    return f"{flow}-{sha[:7]}-{secrets.token_hex(3)}"


def data_of(settings: Settings) -> DataSettings:
    """The data root, and the archive if it is elsewhere, with an absolute path, or its URL."""
    data, base = settings.data, settings.root
    return replace(data, root=_absolute(data.root, base), archive=_absolute(data.archive, base) if data.archive else "")


def _absolute(place: str, base: Path) -> str:
    return place if "://" in place else str((base / Path(place).expanduser()).absolute())


def words_for(flow: FlowSettings, overrides: Overrides) -> tuple[str, ...]:
    """The key=value words that go to the configuration, or to the parameters of a team's own flow."""
    return (*overrides.config, f"{EVALS}={','.join(overrides.evals)}") if flow.file and overrides.evals else overrides.config


def check_flow(name: str, flow: FlowSettings, overrides: Overrides, config: str) -> None:
    """Raises what can be said against it without looking into the commit."""
    if not flow.file:
        flow_file(name, flow)
        chosen_evals(name, flow, overrides.evals)
        _check_placeholders(name, flow)
    elif config:
        raise UsageError(f"[flow.{name}] is {flow.file}, which has parameters and no configuration file", "key=value gives it parameters")


def _check_placeholders(name: str, flow: FlowSettings) -> None:
    """A placeholder that means nothing must not come to light after the training."""
    known = dict.fromkeys(("config", "checkpoint", "output", "initial"), "")
    contract.fill(flow.command, known, f"[flow.{name}] command")
    del known["initial"]  # an evaluation has the checkpoint alone
    for action, command in flow.evals.items():
        if isinstance(command, tuple):
            contract.fill(command, {**known, "action": action}, f"[flow.{name}.evals] {action}")


def check_external(where: str, external: ExternalSettings, has: Callable[[str], bool], environ: Mapping[str, str] | None) -> None:
    """What an evaluation by others needs must not turn out to be missing after the training.

    `has` says whether the commit has a file or directory; `environ` is None where the steps' variables cannot be known. Raises
    SettingsError, UsageError.
    """
    if external.samples and not has(external.samples):
        raise SettingsError(f"{where} samples: the commit has no {external.samples}")
    if environ is not None and not environ.get(external.key_env):
        hint = "set it, or name other action types: evals=..."
        raise UsageError(f"{where}: there is no ${external.key_env}, with which the result is signed", hint)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A flow at a commit, with the settings that hold for it, the configuration file that counts, and where it comes from."""

    flow: str
    commit: Commit
    settings: Settings
    overrides: Overrides
    config: str
    python: str = ""
    origin: Origin = field(default_factory=Origin)
    initial: str = ""


def make_request(
    wanted: Wanted, on: str, run: str, reference: str, place: Place, restore: str = "", environment: InImage = NO_ENVIRONMENT
) -> Request:
    """What the steps are told. Nothing is written yet."""
    settings = wanted.settings
    flow = choose_flow(wanted.flow, settings)
    request = Request(
        run=run,
        flow=wanted.flow,
        commit=wanted.commit.sha,
        reference=reference,
        settings=flow,
        place=place,
        data=data_of(settings),
        evals=chosen_evals(wanted.flow, flow, wanted.overrides.evals),
        config=wanted.config,
        overrides=words_for(flow, wanted.overrides),
        subject=wanted.commit.subject,
        on=on,
        namespace=settings.deploy.namespace if on == "argo" else "",
        origin=wanted.origin,
        initial=wanted.initial,
        deploy=settings.deploy if has_gangs(settings.launch) else DeploySettings(),
        launch=settings.launch,
        notify=settings.notify,
        tracker=settings.tracker,
        metaflow=settings.metaflow,
        links=settings.links,
        flows=tuple(sorted(settings.flow)),
        then={name: other.only_if for name, other in sorted(settings.flow.items()) if other.after == wanted.flow},
        restore=restore,
        environment=environment,
    )
    if is_keeper(wanted.flow, flow):
        return keeper_request(request, settings)
    starter = starter_for(request, settings)
    return replace(request, starter=starter["metadata"]["name"]) if starter else request


def following_flows(flow: str, settings: Settings) -> list[str]:
    """The flows that come after it, those that come after these, and so on: each once, without itself."""
    found: list[str] = [flow]
    for before in found:  # grows meanwhile
        then = [name for name, other in sorted(settings.flow.items()) if other.after == before]
        found += [name for name in (*then, *_handed(before, settings)) if name not in found]
    return found[1:]


def _handed(flow: str, settings: Settings) -> list[str]:
    """The flow that gets the checkpoint of this one, if it trains."""
    known = settings.flow.get(flow)
    return [known.starts] if known and is_train(flow, known) and known.starts else []


def is_train(name: str, flow: FlowSettings) -> bool:
    return not flow.file and (flow.use or name) == "train"


def starter_for(request: Request, settings: Settings) -> dict[str, Any] | None:
    """The template of what starts runs at other revisions, in the image of the request's commit; None where there is to be none."""
    from builder.deploy.starter import starter_template

    if request.on != "argo":
        return None
    return starter_template(request, settings.in_force, str(Path(request.place.output).parent))


def release_request(request: Request) -> Request:
    """What a template of the request's flow and commit holds: no run, and nothing that this one run was asked."""
    settings = request.settings
    return replace(request, run="", overrides=(), origin=Origin(), initial="", config=settings.config, evals=tuple(sorted(settings.evals)))
