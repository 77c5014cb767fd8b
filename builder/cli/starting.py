"""From a command line's words to a run that is started: what `run`, `retry`, `compare` and `demo` share."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from builder.cli import output
from builder.cli.person import who
from builder.cli.wanted import check_externals, resolve_config, source_of
from builder.errors import BuilderError, UsageError

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.cli.reading import Reader
    from builder.deploy.compile import Source
    from builder.model.image import BuiltImage
    from builder.model.oci import Manifest
    from builder.model.run import RunResult
    from builder.model.tree import Commit
    from builder.runs.interpreter import Interpreter
    from builder.runs.prepare import Overrides, Wanted
    from builder.settings import LaunchSettings, Settings
    from builder.source.repository import Git
    from builder.source.snapshot import Snapshot
    from builder.steps.config import Config
    from builder.steps.request import InImage, Origin, Request, Start


@dataclass(frozen=True, slots=True)
class Target:
    """A flow's name and a revision; None means the working tree as it is."""

    flow: str
    revision: str | None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Split at the first `@`: `finetune@main@{yesterday}` is finetune at `main@{yesterday}`."""
        flow, at, revision = text.partition("@")
        if not flow or (at and not revision):
            raise UsageError(f"{text!r} is not FLOW or FLOW@REVISION", "such as finetune@HEAD")
        return cls(flow, revision if at else None)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What will run and where, its configuration, who chose the interpreter (on this machine), and how people call it.

    `run` is its name, where that is given; `source` is what is compiled for Argo.
    """

    wanted: Wanted
    on: str
    config: Config
    interpreter: Interpreter | None
    label: str
    source: Source
    run: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for, word by word. `child`: as what another run starts this one; `initial` is a run, or the digest of a
    checkpoint, from which training starts.
    """

    target: Target
    overrides: Overrides
    on: str = ""
    config: str = ""
    include: Sequence[str] = ()
    place: Sequence[str] = ()
    child: Start | None = None
    initial: str = ""
    wait_for_nodes: bool = False


def prepare(maker: Maker, asked: Asked, origin: Origin | None = None) -> Prepared:
    """Resolves the revision and takes the settings that hold for it. Everything that can be refused is refused here."""
    from builder.cli.reading import Reader
    from builder.cli.revisions import find_commit
    from builder.deploy.release import target_of
    from builder.runs.launches import check_gangs, check_places, placed, waiting_for_nodes
    from builder.runs.prepare import Wanted, check_flow, choose_flow
    from builder.source.snapshot import take_snapshot
    from builder.steps.request import Origin

    target, on = asked.target, asked.on or maker.settings.run.on
    snapshot = take_snapshot(maker.git, asked.include) if target.revision is None else None
    commit = snapshot.commit if snapshot else find_commit(Reader.beside(maker), target.flow, target.revision or "HEAD")
    settings = maker.settings_at(commit)
    launch = placed(settings.launch, asked.place)
    settings = replace(settings, launch=waiting_for_nodes(launch) if asked.wait_for_nodes else launch)
    check_places(settings.launch, on)
    check_gangs(settings, on)
    if on == "argo":
        target_of(settings)
    flow = choose_flow(target.flow, settings)
    check_flow(target.flow, flow, asked.overrides, asked.config)
    interpreter = _interpreter(maker, flow.python, target.flow) if on == "local" else None
    origin = origin or (asked.child.origin if asked.child else Origin(who=who()))
    origin = replace(origin, main=snapshot is None and on_default_branch(maker.git, commit))
    python = interpreter.path if interpreter else ""
    initial = asked.child.initial if asked.child else initial_checkpoint(Reader.beside(maker), asked.initial)
    wanted = Wanted(target.flow, commit, settings, asked.overrides, asked.config or flow.config, python, origin, initial)
    check_externals(maker.git, wanted, None if on == "argo" else os.environ)
    run, label = asked.child.run if asked.child else "", _label(target.flow, commit, snapshot)
    return Prepared(wanted, on, resolve_config(maker.git, wanted), interpreter, label, source_of(maker.git, wanted), run)


def initial_checkpoint(reader: Reader, asked: str) -> str:
    """The digest of the checkpoint that is meant: a run's, or the one that is named. Raises UsageError, DataError."""
    from builder.data.checkpoints import check
    from builder.steps.outcome import result_of

    if not asked or asked.startswith("sha256:"):
        return check(reader.objects, asked).digest if asked else ""
    records = reader.ledger.read(asked)
    if not records:
        hint = "a run's name, or sha256:... of a checkpoint; `builder status` lists runs"
        raise UsageError(f"--initial {asked}: there is no such run", hint)
    checkpoint = result_of(asked, records).checkpoint
    if not checkpoint:
        raise UsageError(f"--initial {asked}: that run has no checkpoint", f"`builder show {asked}` says how far it came")
    return check(reader.objects, checkpoint).digest


def _interpreter(maker: Maker, setting: str, flow: str) -> Interpreter:
    from builder.runs.interpreter import choose_interpreter

    return choose_interpreter(setting, flow, maker.settings.root, os.environ)


def _label(flow: str, commit: Commit, snapshot: Snapshot | None) -> str:
    """`finetune@abc1234 (subject)`; of a changed tree `finetune@wip-abc1234 (main + 2 changed files)`."""
    if snapshot is None or snapshot.commit == snapshot.head:
        return f"{flow}@{commit.sha[:7]} ({commit.subject})"
    return f"{flow}@wip-{commit.sha[:7]} ({snapshot.describe()})"


def on_default_branch(git: Git, commit: Commit) -> bool:
    """Whether the commit is in the history of the remote's default branch, or of `main` or `master` where no remote says so."""
    for name in ("refs/remotes/origin/HEAD", "refs/heads/main", "refs/heads/master"):
        if git.run("rev-parse", "--verify", "--quiet", name, check=False).returncode == 0:
            return git.run("merge-base", "--is-ancestor", commit.sha, name, check=False).returncode == 0
    return False


@contextmanager
def told_in_ledger(maker: Maker, child: Start | None) -> Iterator[None]:
    """Nobody sees the terminal of a run that another one started: why it could not start is in the ledger."""
    try:
        yield
    except BuilderError as error:
        if child:
            from builder.data.ledger import Ledger
            from builder.data.open import open_root
            from builder.runs.children import refuse
            from builder.runs.prepare import data_of

            data = data_of(maker.settings)
            refuse(Ledger(open_root(data.root, maker.settings.root, data.endpoint)), child, error)
        raise


@dataclass(frozen=True, slots=True)
class Ready:
    """A request whose image is there; `image` is what it runs. `handler` is the image, by digest, that looks after its end on Argo."""

    prepared: Prepared
    request: Request
    image: BuiltImage
    handler: str = ""


def make_ready(maker: Maker, prepared: Prepared) -> Ready:
    """Makes the image if it is missing, and says what the steps will be told."""
    from builder.cli.restoring import list_for
    from builder.cli.sharing import shared
    from builder.runs.places import Directories, on_this_machine
    from builder.runs.prepare import make_request, run_name

    wanted = prepared.wanted
    check_store(maker, prepared.on, wanted.settings.launch)
    restore = list_for(maker, wanted.commit)
    with shared(maker.git, maker.settings, wanted.commit):
        image = maker.make(wanted.commit)
    run = prepared.run or run_name(wanted.flow, wanted.commit.sha)
    if prepared.on == "local":
        place = on_this_machine(Directories.of(maker.settings), run, wanted.settings.image, wanted.python)
    else:
        place = _image_place(maker, image, prepared.on, run)
    handler = handler_of(maker, image.manifest) if prepared.on == "argo" else ""
    environment = _environment(maker, image, wanted)
    return Ready(prepared, make_request(wanted, prepared.on, run, _by_digest(maker, image), place, restore, environment), image, handler)


def handler_of(maker: Maker, image: Manifest) -> str:
    from builder.image.handler import handler_image

    return maker.store.reference(handler_image(maker.store, image))


def _environment(maker: Maker, image: BuiltImage, wanted: Wanted) -> InImage:
    """What containers of a cluster run, where the settings have any."""
    from builder.image.handler import environment_image
    from builder.runs.launches import needs_environment
    from builder.runs.prepare import NO_ENVIRONMENT
    from builder.steps.request import InImage

    if not needs_environment(wanted.settings.launch):
        return NO_ENVIRONMENT
    return InImage(maker.store.reference(environment_image(maker.store, image.manifest)), wanted.settings.image.workdir)


def _by_digest(maker: Maker, image: BuiltImage) -> str:
    """A Docker engine calls an image by its id, which says less: the manifest's digest is the same in every store."""
    return image.reference if "@" in image.reference else f"{maker.store.name}@{image.digest}"


def check_store(maker: Maker, on: str, launch: Mapping[str, LaunchSettings]) -> None:
    """Raises UsageError when what is to run the image, or is to be a step's environment, could not get it from the store."""
    from builder.runs.launches import has_gangs, needs_environment

    if on == "docker" and maker.store.name.startswith("oci:"):
        hint = 'set [store] to = "docker:", or "registry.host/name" (for once: BUILDER_STORE_TO=docker:)'
        raise UsageError(f"{maker.store.name} is a directory, and Docker cannot run an image from there", hint)
    if (on == "argo" or has_gangs(launch)) and not maker.store.hosts:
        raise UsageError(f"{maker.store.name} is on this machine, and pods cannot pull from it", 'set [store] to = "registry.host/name"')
    if needs_environment(launch) and not maker.store.hosts:
        hint = 'set [store] to = "registry.host/name", or [launch.STEP.slurm] container = "none"'
        raise UsageError(f"{maker.store.name} is on this machine, and a container of Slurm cannot pull from it", hint)


def _image_place(maker: Maker, image: BuiltImage, on: str, run: str) -> Any:
    from builder.runs.places import WORK, Directories, in_the_image

    if not any(layer.kind == "tool" for layer in image.layers):
        hint = 'say it in builder.toml: [image] python = "3.12"; on scratch there is none: --on local runs without'
        raise UsageError(f"{image.reference} has no Python that is known, so no flow can run in it", hint)
    output = f"{WORK}/run" if on == "argo" else str(Directories.of(maker.settings).output(run))
    return in_the_image(image_config(maker, image), output, echo=on == "argo")


def image_config(maker: Maker, image: BuiltImage) -> dict[str, Any]:
    """The image's configuration (OCI image-spec config.md), as the store has it."""
    import json

    config: dict[str, Any] = json.loads(b"".join(maker.store.open_blob(image.manifest.config.digest)))
    return config


def same_run(ready: Ready) -> RunResult | None:
    """The newest run that did the very same and succeeded."""
    from builder.steps import green
    from builder.steps.outcome import result_of
    from builder.steps.request import identity
    from builder.steps.root import ledger_of, objects_of

    found = green.same(objects_of(ready.request), identity(ready.request, ready.prepared.config.digest))
    records = ledger_of(ready.request).read(found["run"]) if found else {}
    return result_of(found["run"], records) if found and records else None  # it may just be cleared away


def template_of(ready: Ready) -> dict[str, Any]:
    """The WorkflowTemplate of the request's flow at its commit. It holds no run, and nothing of this one's own words."""
    return template_for(ready.request, ready.prepared, ready.handler)


def template_for(request: Request, prepared: Prepared, handler: str) -> dict[str, Any]:
    from builder.cache import cache_root
    from builder.deploy.release import Bench, make_template
    from builder.runs.prepare import release_request
    from builder.steps.root import objects_of

    wanted = prepared.wanted
    bench = Bench(objects_of(request), cache_root(os.environ) / "flows", os.environ)
    return make_template(release_request(request), wanted.commit.date, wanted.settings, prepared.source, bench, handler)


def templates_beside(maker: Maker, request: Request, settings: Settings) -> Iterator[dict[str, Any]]:
    """What the run may need to start others: the starter, and the flows that come after its own. One that cannot run holds up nobody.

    `settings` are those that hold for the run's commit.
    """
    from builder.runs.prepare import Overrides, following_flows, starter_for

    yield from filter(None, [starter_for(request, settings)])
    for flow in following_flows(request.flow, settings):
        try:
            after = prepare(maker, Asked(Target(flow, request.commit), Overrides(), on="argo"))
            yield template_of(make_ready(maker, after))
        except BuilderError as error:  # noqa: PERF203 - there are a handful
            output.warn(f"{flow}, which comes after {request.flow}, cannot run at this commit: {error.message}")
