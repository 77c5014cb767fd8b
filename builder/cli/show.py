"""`builder show`: explains a run, a flow, a revision, an image or a checkpoint."""

from __future__ import annotations

from pathlib import Path

import click

from builder.cli import complete, output
from builder.cli.reading import reading
from builder.cli.revisions import naming, only_flow
from builder.errors import UsageError


@click.command("show")
@click.argument("what", metavar="[RUN|FLOW|REV|DIGEST|CHECKPOINT]", default="", shell_complete=complete.anything)
@click.option("--repro", is_flag=True, help="Print only the command that repeats the run exactly.")
@click.option("--history", is_flag=True, help="Of a flow: which commit its schedules started when, and who had it so.")
@click.option("--last", metavar="N", type=click.IntRange(1), default=20, help="With --history: how many at most. Default: 20.")
@click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")
@output.format_option("table", "json")
def command(what: str, repro: bool, history: bool, last: int, repo: Path | None, form: str) -> None:
    """Explain a run, a flow, a revision, an image or a checkpoint. Default: your last run.

    A run: why it failed, with the end of the log; its steps; what changed since the last green run; the next command to type.
    A revision, or a digest of an image or a checkpoint: the commit with its images, templates, runs and checkpoints.
    The beginning of a name or of a digest will do.
    """
    from builder.runs.lookup import meant_by

    with reading(repo) as reader:
        what = what or (only_flow(reader.settings) if history else reader.last_run())
        meant = meant_by(what, naming(reader))
        if repro and meant.kind != "run":
            raise UsageError(f"--repro repeats a run, and {what} is a {meant.kind}", "`builder status` lists runs")
        if history and meant.kind != "flow":
            raise UsageError(f"--history is of a flow, and {what} is a {meant.kind}", "builder show FLOW --history")
        if history:
            from builder.cli.showing_history import show_history

            show_history(reader, meant.name, last, form)
        elif meant.kind == "run":
            from builder.cli.showing_run import show_run

            show_run(reader, meant.name, form, repro=repro)
        elif meant.kind == "flow":
            from builder.cli.showing_flow import show_flow

            show_flow(reader, meant.name, form)
        else:
            from builder.cli.showing_graph import show_graph

            show_graph(reader, meant, form)
