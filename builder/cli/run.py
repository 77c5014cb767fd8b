"""`builder run FLOW[@REV] [key=value ...]`: a flow at any commit, or with the working tree as it is."""

from __future__ import annotations

import getpass
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli import output
from builder.cli.complete import flow_at_revision
from builder.errors import BuilderError, LaunchError, UsageError

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.model.run import RunResult
    from builder.model.tree import Commit
    from builder.runs.interpreter import Interpreter
    from builder.runs.prepare import Overrides, Wanted
    from builder.source.repository import Git
    from builder.source.snapshot import Snapshot
    from builder.steps.config import Config


_SLOW = 10.0  # seconds


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


@click.command("run")
@click.argument("target", metavar="FLOW[@REV]", shell_complete=flow_at_revision)
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
@click.option(
    "--repo",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The repository. Default: the working directory's.",
)
@click.option("--on", type=click.Choice(["local"]), help="Where to run. Default: `[run] on`.")
@click.option("--config", metavar="FILE", default="", help="Another configuration file of the commit, relative to its root.")
@click.option("--include", metavar="GLOB", multiple=True, help="Without @REV: let in untracked files over 10 MB or that look like secrets.")
@click.option("--dry-run", is_flag=True, help="Show what would run, and where each value comes from. Starts nothing.")
@output.format_option("table", "json")
def command(
    target: str,
    overrides: tuple[str, ...],
    repo: Path | None,
    on: str | None,
    config: str,
    include: tuple[str, ...],
    dry_run: bool,
    form: str,
) -> None:
    """Run a flow at any commit, or with your tree as it is.

    FLOW@REV runs the flow at that revision: a branch, a tag, a sha, HEAD. FLOW alone runs your working tree as it is.
    KEY=VALUE changes the configuration for this run; evals=click,type evaluates these action types only.
    """
    from builder.cli.making import making
    from builder.runs.prepare import Overrides

    asked = Target.parse(target)
    if include and asked.revision is not None:
        raise UsageError("--include only goes with the working tree", f"leave out @{asked.revision}, or --include")
    with making(repo) as maker:
        _local_only(on or maker.settings.run.on)
        prepared = prepare(maker, asked, Overrides.parse(overrides), config, include)
        _say_what_runs(prepared)
        if dry_run:
            _show_plan(maker.git, prepared.wanted, form)
            return
        result = execute(maker, prepared)
        earlier = _commit_before(maker, prepared.wanted)
    show(result, earlier, form)
    if result.state != "succeeded":
        raise LaunchError(result.error, result.hint)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What will run, who chose the interpreter, and how people call it."""

    wanted: Wanted
    interpreter: Interpreter
    label: str


def prepare(maker: Maker, asked: Target, overrides: Overrides, config: str, include: Sequence[str] = ()) -> Prepared:
    """Resolves the revision and takes the settings that hold for it. Everything that can be refused is refused here."""
    from builder.runs.interpreter import choose_interpreter
    from builder.runs.prepare import Wanted, choose_flow, chosen_evals, flow_file
    from builder.source.snapshot import take_snapshot

    snapshot = take_snapshot(maker.git, include) if asked.revision is None else None
    commit = snapshot.commit if snapshot else maker.git.resolve(asked.revision or "HEAD")
    settings = maker.settings_at(commit)
    flow = choose_flow(asked.flow, settings)
    flow_file(asked.flow, flow)
    chosen_evals(asked.flow, flow, overrides.evals)
    interpreter = choose_interpreter(flow.python, asked.flow, maker.settings.root, os.environ)
    wanted = Wanted(asked.flow, commit, settings, overrides, config or flow.config, interpreter.path)
    resolve_config(maker.git, wanted)
    return Prepared(wanted, interpreter, _label(asked.flow, commit, snapshot))


def _label(flow: str, commit: Commit, snapshot: Snapshot | None) -> str:
    """`finetune@abc1234 (subject)`; of a changed tree `finetune@wip-abc1234 (main + 2 changed files)`."""
    if snapshot is None or snapshot.commit == snapshot.head:
        return f"{flow}@{commit.sha[:7]} ({commit.subject})"
    return f"{flow}@wip-{commit.sha[:7]} ({snapshot.describe()})"


def execute(maker: Maker, prepared: Prepared) -> RunResult:
    """Makes the image if it is missing, writes the commit's tree, and runs the flow to its end."""
    from builder.runs.export import export
    from builder.runs.local import run_here
    from builder.runs.prepare import Directories, choose_flow, flow_file, make_request

    wanted = prepared.wanted
    directories = Directories.of(maker.settings)
    directories.make()
    request = make_request(wanted, maker.make(wanted.commit).reference, directories)
    export(maker.git, wanted.commit, wanted.settings.image, Path(request.place.workdir))
    flow = flow_file(wanted.flow, choose_flow(wanted.flow, wanted.settings))
    facts = {"subject": wanted.commit.subject, "who": _user()}
    return run_here(request, flow, directories.state / "metaflow", os.environ, _Steps(), facts)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return f"uid {os.getuid()}"


def _commit_before(maker: Maker, wanted: Wanted) -> Commit | None:
    """The first parent, if the flow and its configuration are there too."""
    from builder.runs.prepare import choose_flow, flow_file
    from builder.settings import at_commit

    try:
        commit = maker.git.commit(wanted.commit.parents[0])
        settings, _ = at_commit(maker.settings, lambda path: maker.git.read_path(commit, path), commit.sha)
        flow = choose_flow(wanted.flow, settings)
        flow_file(wanted.flow, flow)
        resolve_config(maker.git, replace(wanted, commit=commit, settings=settings, config=flow.config))
    except (BuilderError, IndexError):  # IndexError: the first commit
        return None
    return commit


def show(result: RunResult, earlier: Commit | None, form: str) -> None:
    """The scores, where everything is, and `earlier`, which may be run to compare."""
    if form == "json":
        output.document(result.to_json())
        return
    if result.state == "succeeded":
        rows = [("loss", number(result.loss)), *((action, number(score)) for action, score in result.scores.items())]
        output.table(("METRIC", "VALUE"), rows, right=("VALUE",))
        output.note(f"{result.run} succeeded in {output.duration(result.seconds)}; everything it wrote: {result.links['directory']}")
        if earlier:
            output.note(f"next: builder run {result.flow}@{earlier.sha[:7]}   (the commit before it, to compare)")


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


class _Steps:
    """A line on stderr for every step that ends, and one that says how to follow it: at once on a terminal, else of a slow one."""

    def __init__(self) -> None:
        self._patience = 0.0 if output.is_terminal(sys.stderr) else _SLOW
        self._began: dict[str, float] = {}
        self._said: set[tuple[str, str]] = set()

    def __call__(self, step: str, record: Mapping[str, Any]) -> None:
        state, now = record["state"], time.monotonic()
        began = self._began.setdefault(step, now)
        if (step, state) in self._said or (state == "running" and (now - began < self._patience or "log" not in record)):
            return
        self._said.add((step, state))
        if state == "running":
            output.note(f"  {step} is running; to follow it: tail -f {record['log']}")
            return
        seconds = f" in {output.duration(record['seconds'])}" if "seconds" in record else ""
        output.note(f"  {step} {state}{seconds}")


def _say_what_runs(prepared: Prepared) -> None:
    output.note(f"{prepared.label} on local, {prepared.interpreter.path} ({prepared.interpreter.origin})")


def _show_plan(git: Git, wanted: Wanted, form: str) -> None:
    from builder.runs.prepare import choose_flow, chosen_evals

    flow = choose_flow(wanted.flow, wanted.settings)
    values = dict(resolve_config(git, wanted).values)
    evals = chosen_evals(wanted.flow, flow, wanted.overrides.evals)
    if form == "json":
        plan = {"flow": wanted.flow, "commit": wanted.commit.sha, "command": list(flow.command), "config": values}
        output.document({**plan, "evals": {name: list(words) for name, words in evals.items()}, "origin": dict(wanted.settings.origin)})
        return
    origin = wanted.settings.origin
    rows = [("commit", f"{wanted.commit.sha} {wanted.commit.subject}", "git"), ("image.base", wanted.settings.image.base, origin["image"])]
    rows += [("command", " ".join(flow.command), origin[f"flow.{wanted.flow}"])]
    rows += [(f"evals.{name}", " ".join(words), origin[f"flow.{wanted.flow}"]) for name, words in evals.items()]
    changed = {word.partition("=")[0] for word in wanted.overrides.config}
    rows += [(f"config.{key}", str(value), "command line" if key in changed else wanted.config) for key, value in values.items()]
    output.table(("WHAT", "VALUE", "FROM"), rows)


def resolve_config(git: Git, wanted: Wanted) -> Config:
    from builder.steps.config import load

    return load(wanted.config, lambda path: git.read_path(wanted.commit, path), wanted.overrides.config)


def _local_only(on: str) -> None:
    if on != "local":
        raise UsageError(f"runs on {on} are not possible yet", "--on local runs on this machine")
