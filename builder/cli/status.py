"""`builder status`: who runs what, where, and how it stands; or which flows there are."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli import complete, output
from builder.cli.reading import Reader, reading
from builder.errors import RevisionError, SourceError, UsageError

if TYPE_CHECKING:
    from builder.runs.history import Filter, Seen

_LOOK_EVERY = 2.0  # seconds
_LAST = 20


@click.command("status")
@click.option("--mine", is_flag=True, help="Runs that you started.")
@click.option("--flow", metavar="FLOW", default="", help="Runs of this flow.", shell_complete=complete.flow)
@click.option("--commit", "revision", metavar="REV", default="", help="Runs of this commit.", shell_complete=complete.revision)
@click.option("--last", metavar="N", type=click.IntRange(min=1), help="How many, the newest. Default: 20; with --html 2000 commits.")
@click.option("--watch", is_flag=True, help="Print them again whenever something changes; ctrl-C ends it.")
@click.option("--flows", is_flag=True, help="List the flows instead: parameters, schedule, where steps run, last result.")
@click.option("--slurm", is_flag=True, help="List the jobs in Slurm instead, everybody's, with their runs.")
@click.option(
    "--html", metavar="FILE", type=click.Path(path_type=Path), help="Write it all as one page for a browser instead: commits, images, runs."
)
@click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")
@output.format_option("table", "json", "name")
def command(
    mine: bool,
    flow: str,
    revision: str,
    last: int | None,
    watch: bool,
    flows: bool,
    slurm: bool,
    html: Path | None,
    repo: Path | None,
    form: str,
) -> None:
    """List runs: who runs what, where, and how it stands.

    Runs of everybody who shares the data root. What the ledger says of runs that go on is compared with Argo and with the
    processes of this machine: a run that is gone, and whose end nobody wrote, is `lost`.
    """
    if flows and (mine or revision or watch):
        raise UsageError("--flows lists flows: it goes with --flow and -o alone")
    if slurm and (flow or revision or watch or flows):
        raise UsageError("--slurm lists jobs: it goes with --mine and -o alone")
    if html and (mine or revision or watch or flows or slurm or _asked_for("form")):
        raise UsageError("--html writes a page: it goes with --flow and --last alone")
    with reading(repo) as reader:
        if html:
            from builder.cli.page import write_file

            _check_somewhere(reader)
            write_file(reader, html, flow, last)
            if _is_unknown(reader, flow) and not reader.runs(_filter(reader, flow, "", mine=False), 1):
                output.warn(_nothing(reader, flow))
            return
        if slurm:
            from builder.cli.slurm_list import show_jobs

            show_jobs(reader, form, mine=mine)
            return
        if flows:
            from builder.cli.flow_list import show_flows

            show_flows(reader, flow, form)
            return
        wanted = _filter(reader, flow, revision, mine=mine)
        if watch:
            _watch(reader, wanted, last or _LAST, form)
        else:
            runs = reader.runs(wanted, last or _LAST)
            show(runs, form)
            if not runs:
                output.note(_nothing(reader, flow))


def _asked_for(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _filter(reader: Reader, flow: str, revision: str, *, mine: bool) -> Filter:
    from builder.cli.person import who
    from builder.runs.history import Filter

    commit = _commit(reader, revision) if revision else ""
    was = "" if commit.startswith(revision) or not re.fullmatch(r"[0-9a-f]{7,40}", revision) else revision
    return Filter(flow=flow, commit=commit, who=who() if mine else "", was=was)


def _commit(reader: Reader, revision: str) -> str:
    """The beginning of a sha is good enough where git does not have the commit."""
    try:
        return reader.git.resolve(revision).sha
    except RevisionError:
        if re.fullmatch(r"[0-9a-f]{7,40}", revision):
            return revision
        raise


def _watch(reader: Reader, wanted: Filter, last: int, form: str) -> None:
    """Until ctrl-C. Times pass, so on a terminal it is drawn anew each time."""
    before: list[Seen] | None = None
    try:
        while True:
            runs = reader.runs(wanted, last)
            if output.clear() or runs != before:
                show(runs, form)
            before = runs
            time.sleep(_LOOK_EVERY)
    except KeyboardInterrupt:
        return


def show(runs: Sequence[Seen], form: str) -> None:
    if form == "json":
        output.document([as_json(seen) for seen in runs])
    elif form == "name":
        for seen in runs:
            output.result(seen.run)
    elif runs:
        _table(runs)


def _check_somewhere(reader: Reader) -> None:
    if reader.maybe_git is None and reader.settings.file is None:
        raise SourceError(f"{reader.start} is in no git repository, and there is no builder.toml", "name the repository with --repo DIR")


def _is_unknown(reader: Reader, flow: str) -> bool:
    return bool(flow) and flow not in reader.settings.flow


def _nothing(reader: Reader, flow: str) -> str:
    """Whoever looks in the wrong place, or for what is not there, should see it."""
    _check_somewhere(reader)
    if _is_unknown(reader, flow):
        known = ", ".join(sorted(reader.settings.flow)) or "none"
        return f"no run of {flow} in {reader.objects.name}, nor a [flow.{flow}] in the settings; flows here: {known}"
    return f"no such run in {reader.objects.name} yet; `builder run FLOW` starts one"


def _table(runs: Sequence[Seen]) -> None:
    now = time.time()
    linked = any(_link(seen) for seen in runs)
    headers = ("RUN", "FLOW", "COMMIT", "SUBJECT", "WHO", "WHERE", "STATE", "SINCE", "LINK")[: 9 if linked else 8]
    output.table(headers, [_row(seen, now)[: len(headers)] for seen in runs])


def _row(seen: Seen, now: float) -> tuple[str, ...]:
    from builder.data.ledger import seconds_of
    from builder.model import units

    since = seen.ended or seen.started
    state = f"{seen.state} {seen.detail}" if seen.detail and seen.is_open else seen.state
    age = units.age(now - seconds_of(since)) if since else ""
    return (seen.run, seen.flow, seen.commit[:7], seen.subject[:50], seen.who, seen.where, state, age, _link(seen))


def _link(seen: Seen) -> str:
    """The first that the settings name."""
    return next((place for place in seen.links.values() if place.startswith(("http://", "https://"))), "")


def as_json(seen: Seen) -> dict[str, Any]:
    """The documented form (docs/reference/json.md)."""
    plain = seen.result.to_json()
    return {
        "run": seen.run,
        "flow": seen.flow,
        "commit": seen.commit,
        "subject": seen.subject,
        "who": seen.who,
        "on": seen.on,
        "where": seen.where,
        "state": seen.state,
        "detail": seen.detail,
        "started": seen.started,
        "ended": seen.ended,
        "reference": seen.reference,
        "overrides": list(seen.overrides),
        "loss": plain["loss"],
        "scores": plain["scores"],
        "links": seen.links,
    }
