"""`builder status --html FILE`, and the page that housekeeping by hand writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli import output
from builder.errors import DataError, UsageError
from builder.model.units import nouns, size

if TYPE_CHECKING:
    from builder.cli.reading import Reader
    from builder.page.facts import Facts


def write_file(reader: Reader, file: Path, flow: str, most: int | None) -> None:
    """One file, whole or not at all; what could not be asked is told, too."""
    from builder.files import write_whole
    from builder.page.html import page

    if str(file) == "-":
        raise UsageError("--html writes a file, and - names none", "name one: --html page.html")
    if file.is_dir():
        raise UsageError(f"{file} is a directory", f"name a file in it: --html {file / 'page.html'}")
    if not file.parent.is_dir():
        raise UsageError(f"{file.parent} is no directory: {file.name} cannot be written there", "make it first, or name another file")
    facts = facts_of(reader, flow, most)
    data = page(facts)
    try:
        write_whole(file, data)
    except OSError as error:
        raise DataError(f"{file} cannot be written: {error.strerror or error}", "name another file with --html FILE") from error
    output.result(str(file))
    _say(facts, len(data))
    output.note("it needs no network: open it in a browser, or send it to somebody; `[schedule.housekeep]` writes one every night")


def write_to_root(reader: Reader) -> None:
    """Where the nightly step writes it."""
    from builder.page.publish import publish

    facts = facts_of(reader, "", None)
    output.note(f"the page is at {publish(reader.objects, facts)}")
    for note in facts.notes:
        output.warn(note)


def facts_of(reader: Reader, flow: str, most: int | None) -> Facts:
    from builder.page.gather import COMMITS, Places, gather
    from builder.runs.sources import Sources

    git = reader.maybe_git
    name = (git.top or git.git_dir).name if git else reader.settings.root.name
    sources = Sources(reader.settings.in_force, reader.objects, reader.ledger, reader.connect, output.warn)
    return gather(Places(sources, lambda: reader.git, lambda: reader.store, name.removesuffix(".git")), flow=flow, most=most or COMMITS)


def _say(facts: Facts, length: int) -> None:
    counted = ((len(facts.commits), "commit"), (len(facts.images.by_commit), "image"), (len(facts.runs), "run"))
    output.note(f"{', '.join(f'{count:,} {nouns(count, what)}' for count, what in counted)}; {size(length)}")
    for note in facts.notes:
        output.warn(note)
