"""`builder logs RUN [STEP] [-f]`: what the team's commands wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli import complete, output
from builder.cli.reading import Reader, reading
from builder.errors import DataError, UsageError

if TYPE_CHECKING:
    from builder.runs.history import Seen
    from builder.runs.log_sources import Where
    from builder.runs.logs import Piece


@click.command("logs")
@click.argument("run", default="", shell_complete=complete.run)
@click.argument("step", default="", shell_complete=complete.step)
@click.option("-f", "--follow", is_flag=True, help="To the end of the run, as it is written; ctrl-C ends only the following.")
@click.option("--all", "whole", is_flag=True, help="Everything: what Metaflow and Argo say, too.")
@click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")
def command(run: str, step: str, follow: bool, whole: bool, repo: Path | None) -> None:
    """Print a run's logs. Default: your last run's.

    What your commands wrote, of one STEP (finetune, evaluate-click, ...) or of all, each below its name: from the pod while
    it runs, from a file on this machine, or from the data root once the step has ended. The log of a step alone is printed
    as it is, byte for byte.
    """
    with reading(repo) as reader:
        seen = reader.known_run(run)
        where = _where(reader, seen, whole=whole, follow=follow)
        if step:
            _check_step(reader, seen, step)
        if follow:
            _follow(reader, seen, step, where)
            return
        from builder.runs.logs import logs_of

        printed = _print(logs_of(seen, where, step, output.warn), headed=not step)
        if cleared := _cleared(reader, seen, step):
            output.note(cleared)
        elif not printed:
            output.note(_nothing(seen, step))


def _where(reader: Reader, seen: Seen, *, whole: bool, follow: bool) -> Where:
    from builder.runs.log_sources import Where
    from builder.runs.places import Directories
    from builder.steps.request_file import kept_request

    try:
        own = bool(kept_request(reader.objects, seen.run).settings.file)
    except DataError:
        own = False
    output_directory = Directories.of(reader.settings).output(seen.run)
    return Where(reader.objects, reader.connect, output_directory, own, whole, follow)


def _check_step(reader: Reader, seen: Seen, step: str) -> None:
    """Raises UsageError when the run has no such step."""
    import difflib

    known = complete.steps_of(reader, seen)
    if step not in known:
        short = {name.partition("-")[2] or name: name for name in known}
        near = difflib.get_close_matches(step, known, 1) or [short[name] for name in difflib.get_close_matches(step, short, 1)]
        raise UsageError(f"{seen.run} has no step {step}", f"did you mean {near[0]}?" if near else f"its steps: {', '.join(known)}")


def _follow(reader: Reader, seen: Seen, step: str, where: Where) -> None:
    from builder.runs.logs import Follower
    from builder.steps.explain import explain

    follower = Follower(lambda: reader.run(seen.run) or seen, where, output.note)
    _print(follower.one(step) if step else follower.all(), headed=not step)
    ended = reader.run(seen.run) or seen
    if not ended.is_open:
        output.note(explain(ended.run, ended.records, ended.state)[0])


def _print(pieces: Iterator[Piece], *, headed: bool) -> bool:
    """Whether there was anything."""
    before, last = "", b"\n"
    for piece in pieces:
        if headed and piece.step != before:
            start = b"" if last == b"\n" else b"\n"
            output.raw(start + f"==> {piece.step} <==\n".encode())
        output.raw(piece.data)
        before, last = piece.step, piece.data[-1:]
    return bool(before)


def _cleared(reader: Reader, seen: Seen, step: str) -> str:
    """Which logs were cleared away, and when; empty where none were. Steps that were kept have theirs in another run."""
    from builder.runs.cleared import when_cleared

    records = [seen.records.get(step, {})] if step else seen.records.values()
    runs = dict.fromkeys(str(record.get("kept") or seen.run) for record in records)
    told = [
        f"logs of {run} were cleared away on {when[:10]} by `builder gc`" for run in runs if (when := when_cleared(reader.objects, run))
    ]
    return "; ".join(told)


def _nothing(seen: Seen, step: str) -> str:
    what = f"{step} of {seen.run}" if step else seen.run
    if seen.is_open:
        return f"{what} has written nothing yet that can be read from here; -f waits for it"
    return f"{what} left no log; --all shows what Metaflow and Argo said, while that is there"
