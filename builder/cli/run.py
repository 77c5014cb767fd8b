"""`builder run FLOW[@REV] [key=value ...]`: a flow at any commit, or with the working tree as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli import output
from builder.cli.complete import assignment, flow_at_revision
from builder.cli.executing import execute
from builder.cli.expecting import expecting, say_expected
from builder.cli.following import raise_if_bad, show_result
from builder.cli.keeping import keep, keeper_named
from builder.cli.restoring import say_needed
from builder.cli.starting import (
    Asked,
    Prepared,
    Ready,
    Target,
    make_ready,
    prepare,
    same_run,
    told_in_ledger,
)
from builder.cli.wanted import resolve_config
from builder.errors import BuilderError, UsageError

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.cluster.interface import Cluster
    from builder.model.run import RunResult
    from builder.model.tree import Commit
    from builder.runs.prepare import Wanted
    from builder.settings import ExternalSettings
    from builder.source.repository import Git


@click.command("run")
@click.argument("target", metavar="FLOW[@REV]", shell_complete=flow_at_revision)
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1, shell_complete=assignment)
@click.option(
    "--repo",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The repository. Default: the working directory's.",
)
@click.option("--on", type=click.Choice(["local", "docker", "argo"]), help="Where to run. Default: `[run] on`.")
@click.option("--config", metavar="FILE", default="", help="Another configuration file of the commit, relative to its root.")
@click.option("--place", metavar="STEP=WHERE", multiple=True, help="Run this step elsewhere, once: here, slurm or jobset.")
@click.option("--initial", metavar="CHECKPOINT", default="", help="Training starts from this checkpoint: a run, or `sha256:...`.")
@click.option("--wait-for-nodes", is_flag=True, help="On Slurm: wait until the partition has such nodes, instead of failing at once.")
@click.option("--include", metavar="GLOB", multiple=True, help="Without @REV: let in untracked files over 10 MB or that look like secrets.")
@click.option("--wait/--detach", default=None, help="Follow the run to its end, or return when it is started. Default: --detach on argo.")
@click.option("--again", is_flag=True, help="Run it even if the very same ran already.")
@click.option("--refresh", is_flag=True, help="Make the image with today's settings and tool, even if the commit has one.")
@click.option("--dry-run", is_flag=True, help="Show what would run, and where each value comes from. Starts nothing.")
@click.option("--child", metavar="START", default="", hidden=True, help="As what another run starts this one: `Start`, packed.")
@output.format_option("table", "json")
def command(
    target: str,
    overrides: tuple[str, ...],
    repo: Path | None,
    on: str | None,
    config: str,
    place: tuple[str, ...],
    initial: str,
    wait_for_nodes: bool,
    include: tuple[str, ...],
    wait: bool | None,
    again: bool,
    refresh: bool,
    dry_run: bool,
    child: str,
    form: str,
) -> int | None:
    """Run a flow at any commit, or with your tree as it is.

    FLOW@REV runs the flow at that revision: a branch, a tag, a sha, HEAD; `green` is the last nightly that passed, `live`
    what the nightly uses, `last` your last run. FLOW alone runs your working tree as it is.
    KEY=VALUE changes the configuration for this run; evals=click,type evaluates these action types only.
    The flows `watch` and `housekeep` look at what there is now: they take no revision and no KEY=VALUE.
    """
    if keeper := keeper_named(target, repo):
        plain = not (overrides or config or place or include or again or refresh or child or wait is not None)
        return keep(keeper, repo, on or "", form, plain=plain, dry_run=dry_run)
    from builder.cli.making import making
    from builder.runs.prepare import Overrides
    from builder.steps.request import Start

    start = Start.unpack(child) if child else None
    asked = Asked(Target.parse(target), Overrides.parse(overrides), on or "", config, include, place, start, initial, wait_for_nodes)
    if include and asked.target.revision is not None:
        raise UsageError("--include only goes with the working tree", f"leave out @{asked.target.revision}, or --include")
    with making(repo, refresh=refresh) as maker, told_in_ledger(maker, start):
        prepared = prepare(maker, asked)
        _say_what_runs(prepared)
        if dry_run:
            _say_restored(maker, prepared.wanted.commit)
            _show_plan(maker.git, prepared, form)
            return None
        cluster = _cluster(maker) if prepared.on == "argo" else None
        coming = expecting(maker, prepared)
        ready = make_ready(maker, prepared)
        result = None if again or start else _say_same(ready)
        if result is None:
            say_expected(coming)
        earlier = _commit_before(maker, prepared.wanted) if form != "json" and not start else None
        result = result or execute(maker, ready, cluster, wait)
    show_result(result, form, f"builder run {result.flow}@{earlier.sha[:7]}   (the commit before it, to compare)" if earlier else "")
    raise_if_bad(result)
    return None


def _say_restored(maker: Maker, commit: Commit) -> None:
    """Nothing starts, so a data root that cannot be asked is no reason to stop."""
    try:
        say_needed(maker, commit)
    except BuilderError as error:
        output.warn(error.message)


def _cluster(maker: Maker) -> Cluster:
    from builder.cluster.kubernetes import connect

    return connect(maker.settings.deploy.namespace, maker.settings.deploy.context)


def _say_same(ready: Ready) -> RunResult | None:
    found = same_run(ready)
    if found:
        output.note(f"{found.run} did the very same already (image, configuration, commands): its result. --again runs it again")
    return found


def _commit_before(maker: Maker, wanted: Wanted) -> Commit | None:
    """The first parent, if the flow and its configuration are there too."""
    from builder.runs.prepare import check_flow, choose_flow
    from builder.settings import at_commit

    try:
        commit = maker.git.commit(wanted.commit.parents[0])
        settings, _ = at_commit(maker.settings, lambda path: maker.git.read_path(commit, path), commit.sha)
        flow = choose_flow(wanted.flow, settings)
        check_flow(wanted.flow, flow, wanted.overrides, "")
        resolve_config(maker.git, replace(wanted, commit=commit, settings=settings, config=flow.config))
    except (BuilderError, IndexError):  # IndexError: the first commit
        return None
    return commit


def _say_what_runs(prepared: Prepared) -> None:
    how = f", {prepared.interpreter.path} ({prepared.interpreter.origin})" if prepared.interpreter else ""
    output.note(f"{prepared.label} on {prepared.on}{how}")


def _show_plan(git: Git, prepared: Prepared, form: str) -> None:
    from builder.runs.prepare import choose_flow, chosen_evals, words_for

    wanted = prepared.wanted
    flow = choose_flow(wanted.flow, wanted.settings)
    values = dict(prepared.config.values)
    command = flow.command or ("python", flow.file)
    evals = {action: flow.evals[action] for action in chosen_evals(wanted.flow, flow, wanted.overrides.evals)}
    if form == "json":
        plan = {"flow": wanted.flow, "commit": wanted.commit.sha, "command": list(command), "config": values, "on": prepared.on}
        output.document({**plan, "evals": {name: words_of(words) for name, words in evals.items()}, "origin": dict(wanted.settings.origin)})
        return
    origin = wanted.settings.origin
    rows = [("commit", f"{wanted.commit.sha} {wanted.commit.subject}", "git"), ("image.base", wanted.settings.image.base, origin["image"])]
    rows += [("command", " ".join(command), origin[f"flow.{wanted.flow}"])]
    rows += [(f"evals.{name}", " ".join(words_of(words)), origin[f"flow.{wanted.flow}"]) for name, words in evals.items()]
    changed = {word.partition("=")[0] for word in words_for(flow, wanted.overrides)}
    rows += [(f"config.{key}", str(value), "command line" if key in changed else wanted.config) for key, value in values.items()]
    output.table(("WHAT", "VALUE", "FROM"), rows)


def words_of(evaluation: tuple[str, ...] | ExternalSettings) -> list[str]:
    return list(evaluation) if isinstance(evaluation, tuple) else [evaluation.kind]
