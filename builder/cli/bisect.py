"""`builder bisect FLOW --good REV --bad REV --metric 'click<0.8'`: the commit that made a score worse."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli import complete, output
from builder.errors import BuilderError, UsageError

if TYPE_CHECKING:
    from builder.bisect.cost import Usual
    from builder.bisect.hunt import Found, Need, Task
    from builder.cli.bisecting import Bench


@click.command("bisect")
@click.argument("flow", metavar="FLOW", shell_complete=complete.flow_name)
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("--good", metavar="REV", required=True, help="A commit where the score was still good.", shell_complete=complete.revision)
@click.option(
    "--bad", metavar="REV", default="HEAD", show_default=True, help="A later one where it is not.", shell_complete=complete.revision
)
@click.option("--metric", metavar="'NAME<NUMBER'", required=True, help="What is bad: an action type or `loss`, one of < <= > >=, a number.")
@click.option("--repeat", metavar="N", type=click.IntRange(1), default=1, help="Run each commit until most of N runs agree. Default: 1.")
@click.option("--parallel", metavar="K", type=click.IntRange(1), default=1, help="Test this many commits at once. Default: 1.")
@click.option("--first-parent", is_flag=True, help="Look at a branch as one step: test its merge, and not what was merged.")
@click.option("--on", type=click.Choice(["local", "docker", "argo"]), help="Where to run. Default: `[run] on`.")
@click.option("--config", metavar="FILE", default="", help="Another configuration file of the commits, relative to their root.")
@click.option("--place", metavar="STEP=WHERE", multiple=True, help="Run this step elsewhere: here, slurm or jobset.")
@click.option("--yes", is_flag=True, help="Go without asking.")
@click.option("--dry-run", is_flag=True, help="Say what is known, and what the search would cost. Starts nothing.")
@click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")
@output.format_option("table", "json")
def command(
    flow: str,
    overrides: tuple[str, ...],
    good: str,
    bad: str,
    metric: str,
    repeat: int,
    parallel: int,
    first_parent: bool,
    on: str | None,
    config: str,
    place: tuple[str, ...],
    yes: bool,
    dry_run: bool,
    repo: Path | None,
    form: str,
) -> None:
    """Find the commit that changed a score.

    Runs FLOW at commits between the good and the bad one, on images that exist or are made in a second, and halves what is left
    until one commit is to blame. Says what that costs, and asks, before it starts anything. Scores that are known already count.
    Commits that cannot be run are passed over. The same command goes on with a search that was interrupted.
    """
    from builder.bisect.hunt import check_ends, need_of, survey
    from builder.bisect.metric import Metric
    from builder.cli.bisecting import Wanted, benched
    from builder.cli.making import making
    from builder.runs.prepare import Overrides

    wanted = Wanted(flow, Overrides.parse(overrides), Metric.parse(metric), on or "", config, place)
    with making(repo) as maker:
        bench, task = benched(maker, wanted, good, bad, repeat, parallel, first_parent=first_parent)
        found = survey(task, bench)
        need, usual = need_of(task, found), bench.usual()
        if need.high:
            bench.check(task, found)
        _say_known(task, found, bench)
        check_ends(task, found)
        if dry_run:
            from builder.cli.showing_bisect import show_plan

            show_plan(task, found, bench, need, usual, form)
            return
        if need.high:
            bench.connect()
            _ask(need, usual, yes=yes)
        _search(task, bench, form)


def _say_known(task: Task, found: Found, bench: Bench) -> None:
    ends = f"{task.good[:7]} is said to be good, {task.bad[:7]} bad ({task.metric})"
    known = sum(1 for opinion in found.opinions.values() if opinion.evidence.values)
    scores = f"; scores of {output.plural(known, 'commit')} are known" if known else ""
    output.note(f"{output.plural(len(task.graph.commits), 'commit')} may be to blame on {bench.on}: {ends}{scores}")


def _ask(need: Need, usual: Usual, *, yes: bool) -> None:
    from builder.bisect.cost import words_of

    words = words_of(need, usual)
    if yes:
        output.note(words)
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{words}: nobody is here to say whether to go", "--yes goes without asking, --dry-run says more")
    if not click.confirm(f"{words}; go?", default=False, err=True):
        raise BuilderError("nothing was started", "fewer commits between --good and --bad cost less")


def _search(task: Task, bench: Bench, form: str) -> None:
    from builder.bisect.hunt import EndError, hunt
    from builder.cli.showing_bisect import say_verdict, show_end

    try:
        found = hunt(task, bench, lambda sha, opinion, now: say_verdict(task, bench, sha, opinion, now))
    except EndError:
        bench.say_what_goes_on()
        raise
    except (KeyboardInterrupt, BuilderError):
        bench.say_what_goes_on()
        output.note("the same command goes on with the search")
        raise
    show_end(task, found, bench, form)
