"""Pieces of HTML. Whatever comes from a repository is escaped here, and nowhere else: it gets in as text, never as markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from repo_slim.text import bytes_text, day


@dataclass(frozen=True, slots=True)
class Markup:
    """HTML that is one already."""

    html: str


@dataclass(frozen=True, slots=True)
class Cell:
    """What is shown, and the number by which the column is sorted; None: by its text."""

    shown: Markup
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """A table. `title` is its name for who cannot see it; `rest` stays at the end however it is sorted; `sorted_by`: a column's number."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    rest: Sequence[Cell] | None = None
    sorted_by: int | None = None


def text(value: str) -> Markup:
    return Markup(escape(value))


def tag(name: str, *inside: Markup | str, **attributes: str) -> Markup:
    """An element; a name of an attribute is written without its last underscore, and with `-` for others."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{written}>{join(*inside).html}</{name}>")


def join(*parts: Markup | str) -> Markup:
    return Markup("".join(part.html if isinstance(part, Markup) else escape(part) for part in parts))


def words(value: str) -> Cell:
    """A name. `bdi`: one that is written from the right does not turn its neighbours round."""
    return Cell(tag("bdi", value))


def path(value: str) -> Cell:
    """It may be broken into lines after a slash."""
    pieces = [tag("bdi", piece) for piece in value.replace("/", "/\0").split("\0")]
    return Cell(tag("code", *(part for piece in pieces for part in (piece, Markup("<wbr>")))))


def size(count: int) -> Cell:
    return Cell(text(bytes_text(count)), count)


def count(number: int) -> Cell:
    return Cell(text(f"{number:,}"), number)


def date(time: int) -> Cell:
    return Cell(tag("time", day(time)), time)


def share(part: int, whole: int) -> Cell:
    """A bar and a percentage."""
    percent = 100 * part / whole if whole else 0.0
    said = "<0.1 %" if 0 < percent < 0.05 else f"{percent:.1f} %"
    return Cell(join(bar(percent), tag("span", said, class_="percent")), part)


def bar(percent: float, kind: str = "") -> Markup:
    """Drawn: what a style attribute would do the page's own rules forbid."""
    drawn = f'<rect width="{max(0.0, min(100.0, percent)):.2f}" height="10"></rect>'
    return Markup(f'<svg class="bar {kind}" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>')


def table(grid: Grid) -> Markup:
    """It scrolls by itself and can be reached with the keyboard; so can the headings, which sort it."""
    head = [_heading(grid, number) for number in range(len(grid.columns))]
    body = [tag("tr", *map(_cell, row)) for row in grid.rows]
    foot = tag("tfoot", tag("tr", *map(_cell, grid.rest))) if grid.rest else ""
    inside = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body), foot)
    return tag("div", inside, class_="scroll", tabindex="0", role="region", aria_label=grid.title)


def _heading(grid: Grid, number: int) -> Markup:
    order = "descending" if number == grid.sorted_by else "none"
    is_number = bool(grid.rows) and grid.rows[0][number].value is not None
    button = tag("button", grid.columns[number], type="button")
    return tag("th", button, scope="col", aria_sort=order, class_="number" if is_number else "text")


def _cell(cell: Cell) -> Markup:
    if cell.value is None:
        return tag("td", cell.shown)
    return tag("td", cell.shown, class_="number", data_value=repr(cell.value))
