"""The report's tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repo_slim.report.markup import Cell, Grid, Markup, count, date, join, path, share, size, table, tag, words
from repo_slim.text import bytes_text

if TYPE_CHECKING:
    from repo_slim.report.growth import Growth
    from repo_slim.report.held import Held
    from repo_slim.report.largest import Large, Lfs, LfsRow
    from repo_slim.report.tally import Row, Table

_ARE_PATHS = ("Directory", "Path")


def sums(found: Table, heading: str, title: str, total: int) -> Markup:
    """`total`: what all of it takes."""
    columns = (heading, "Share", "Packed", "As files", "Versions", "Packed, at a tip")
    name = path if heading in _ARE_PATHS else words
    rows = [_sums(row, total, name(row.name)) for row in found.rows]
    return table(Grid(title, columns, rows, _sums(found.rest, total, words(found.rest.name)) if found.rest else None, 2))


def _sums(row: Row, total: int, name: Cell) -> tuple[Cell, ...]:
    return (name, share(row.disk, total), size(row.disk), size(row.size), count(row.versions), size(row.at_tip))


def held(found: tuple[Held, ...]) -> Markup:
    columns = ("Ref", "Of it alone", "Holds back", "Versions")
    rows = [(words(each.ref), size(each.alone), size(each.size), count(each.file_versions)) for each in found]
    note = tag(
        "p", "The plan's rules name these files too, but the tips of protected refs contain them: they stay in all commits.", class_="note"
    )
    return join(note, table(Grid("What protected refs hold back", columns, rows, None, 1)))


def jumps(growth: Growth) -> Markup:
    columns = ("Commit", "Date", "Author", "Subject", "Versions", "Packed")
    rows = [
        (_commit(jump.commit), date(jump.time), words(jump.author), words(jump.subject), count(jump.versions), size(jump.disk))
        for jump in growth.jumps
    ]
    return table(Grid("The commits that added most", columns, rows, None, 5))


def largest(found: tuple[Large, ...]) -> Markup:
    columns = ("Path", "As a file", "Packed", "Commit", "Date", "Author", "Now")
    note = tag("p", "What goes is what the plan takes out of all commits; a branch's tip keeps what it has.", class_="note")
    return join(note, table(Grid("The largest file versions ever", columns, [_large(each) for each in found], None, 1)))


def _large(each: Large) -> tuple[Cell, ...]:
    shown = [path(name).shown for name in each.paths[:1]]
    more = len(each.paths) - 1 + each.more_paths
    named = tag("small", f" and {more} other name{'s' if more > 1 else ''}", title="\n".join(each.paths[1:])) if more > 0 else ""
    where = "at a tip" if each.at_tip else "goes" if each.goes else "in old commits"
    return (
        Cell(join(*shown, named)),
        size(each.size),
        size(each.disk),
        _commit(each.commit),
        date(each.time),
        words(each.author),
        words(where),
    )


def _commit(sha: str) -> Cell:
    return Cell(tag("code", sha[:10], title=sha))


def lfs(found: Lfs) -> tuple[Markup, ...]:
    tips = f"branch tips still point to {found.at_tips.objects:,} of them, {bytes_text(found.at_tips.size)}"
    said = (
        f"{found.objects:,} objects, {bytes_text(found.size)}, in all of history; {tips}. They are on the LFS server: a clone fetches only "
        "what its checkout needs, and the pointers cost next to nothing. Fewer of them is a matter of the server, not of a rewrite."
    )
    columns = ("Path", "Size", "Objects", "Still at a tip", "Missing")
    rows = [_lfs(row, path(row.name)) for row in found.paths]
    rest = _lfs(found.rest, words(found.rest.name)) if found.rest else None
    return tag("p", said), table(Grid("LFS objects", columns, rows, rest, 1))


def _lfs(row: LfsRow, name: Cell) -> tuple[Cell, ...]:
    return (name, size(row.size), count(row.objects), size(row.at_tip), count(row.missing))
