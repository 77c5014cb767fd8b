"""`builder stop RUN`."""

from __future__ import annotations

from pathlib import Path

import click

from builder.cli import complete, output
from builder.cli.reading import reading


@click.command("stop")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete.run)
@click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")
def command(runs: tuple[str, ...], repo: Path | None) -> None:
    """Stop a run.

    On Argo its pods are ended, on this machine its processes or its container; a run of another machine can only be
    stopped there. The ledger says who stopped it. A run that has ended stays as it is: that is no error.
    """
    from builder.cli.person import who
    from builder.runs.stop import Stopper

    with reading(repo) as reader:
        found = [reader.known_run(run) for run in runs]
        stopper = Stopper(who(), reader.objects, reader.ledger, reader.connect)
        for seen in found:
            output.note(stopper.stop(seen))
