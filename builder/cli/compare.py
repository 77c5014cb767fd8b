"""`builder compare`: revisions or runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli import complete, output
from builder.cli.making import making
from builder.cli.reading import Reader
from builder.cli.revisions import naming, only_flow
from builder.errors import UsageError

if TYPE_CHECKING:
    from builder.runs.comparing import Side
    from builder.runs.lookup import Meant


@click.command("compare")
@click.argument("words", metavar="A B...", nargs=-1, required=True, shell_complete=complete.run_or_revision)
@click.option(
    "--flow", metavar="FLOW", default="", help="Whose runs of a revision count. Default: the only flow.", shell_complete=complete.flow
)
@click.option("--run", "starts", is_flag=True, help="Run what has no run that succeeded yet, and wait for it.")
@click.option("--on", type=click.Choice(["local", "docker", "argo"]), help="With --run: where. Default: `[run] on`.")
@click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")
@output.format_option("table", "json")
def command(words: tuple[str, ...], flow: str, starts: bool, on: str | None, repo: Path | None, form: str) -> None:
    """Compare revisions or runs.

    Scores, configuration, dependencies, base, the commits between, layers and bytes, each against the first. Of a revision all
    runs count that did the same and succeeded: with several the table has their number and range, and `~` marks a difference
    that is not more than they scatter by themselves.
    """
    if on and not starts:
        raise UsageError("--on goes with --run", "what ran already is compared wherever it ran")
    if len(words) < 2:
        raise UsageError("two revisions or runs at least are compared", f"such as `builder compare green {words[0]}`")
    from builder.cli.comparing import compare_sides, show_comparison

    with making(repo) as maker:
        reader = Reader.beside(maker)
        named = _named_flow(reader, words, flow)
        meant = [_meant(reader, word, named) for word in words]
        whose = named or _flow(reader, meant)
        sides = [_side(reader, word, found, whose) for word, found in zip(words, meant, strict=True)]
        if starts and any(not side.runs for side in sides):
            from builder.cli.comparing import run_missing

            run_missing(maker, whose, [side.commit for side in sides if not side.runs], on or "")
            sides = [_side(reader, word, found, whose) for word, found in zip(words, meant, strict=True)]
        show_comparison(compare_sides(reader, whose, sides), form)


def _named_flow(reader: Reader, words: tuple[str, ...], flow: str) -> str:
    """What the command line says, in one way or another; empty when it does not."""
    flows = dict.fromkeys(word.partition("@")[0] for word in words if "@" in word and word.partition("@")[0] in reader.settings.flow)
    named = [flow] if flow else list(flows)
    if len({*named, *flows}) > 1:
        raise UsageError(f"{' and '.join({**dict.fromkeys(named), **flows})} are different flows", "runs of one flow are compared")
    return named[0] if named else ""


def _meant(reader: Reader, word: str, flow: str) -> Meant:
    from builder.runs.lookup import meant_by
    from builder.runs.words import split

    found = meant_by(f"{flow}@{word}" if flow and split(word)[0] else word, naming(reader))
    if found.kind in ("flow", "checkpoint"):
        raise UsageError(f"{word} is a {found.kind}: revisions, images and runs are compared", f"builder show {word}")
    return found


def _flow(reader: Reader, meant: list[Meant]) -> str:
    """That of the first run, if one is compared."""
    from builder.runs.history import Seen

    runs = [Seen.of(found.name, reader.ledger.read(found.name)) for found in meant if found.kind == "run"]
    return next((seen.flow for seen in runs), "") or only_flow(reader.settings)


def _side(reader: Reader, word: str, meant: Meant, flow: str) -> Side:
    from builder.runs.comparing import Side, of_commit
    from builder.runs.history import Filter

    if meant.kind == "run":
        seen = reader.run(meant.name)
        assert seen is not None  # it was found a moment ago
        return Side(seen.run, seen.commit, (seen,))
    commit = meant.commit or meant.name
    runs = reader.runs(Filter(flow=flow, commit=commit))
    if meant.kind == "image":
        runs = [seen for seen in runs if seen.reference.endswith(f"@{meant.name}")]
    return of_commit(f"{word} {commit[:7]}" if not commit.startswith(word) else commit[:7], commit, runs)
