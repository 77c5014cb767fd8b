"""The advice about dead code, with what speaks for it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from repo_slim.advice import points_text
from repo_slim.report.markup import Cell, Grid, Markup, date, path, size, table, tag, words
from repo_slim.report.tally import ROWS

if TYPE_CHECKING:
    from repo_slim.advice import Advice, Dead

_UNKNOWN = 200


def advice_of(advice: Advice) -> tuple[Markup, ...]:
    """Says what was looked at, too: what is not in the list may still be dead."""
    dead = _listed(
        advice.dead,
        "Modules that nothing reaches",
        f"Nothing that starts imports them, nothing names them, and nobody changed them in the {advice.months} months before the tip.",
        "None found.",
    )
    scripts = _listed(
        advice.scripts,
        "Scripts that nothing starts",
        f"Nothing here imports, starts or names them, and nobody changed them for {advice.months} months. People may start them by hand.",
        "None found.",
    )
    return (tag("p", _looked_at(advice)), tag("p", *_how()), *dead, *scripts, *_unknown(advice))


def _looked_at(advice: Advice) -> str:
    large = f" {advice.large:,} texts were too large to be searched for names." if advice.large else ""
    read = f"{advice.python:,} Python files at {advice.commit[:10]} were read, none was run"
    entries = points_text(advice.entry_points)
    return f"Advice, and nothing more: none of it is in the plan. {read}. What may start or name one of them: {entries}.{large}"


def _how() -> tuple[Markup | str, ...]:
    return (
        "The plan keeps what branch tips contain. To be rid of a file, delete it on the branch first; then ",
        tag("code", "--drop"),
        " takes its past, too.",
    )


def _listed(found: Sequence[Dead], title: str, note: str, none: str) -> tuple[Markup, ...]:
    if not found:
        return (tag("h3", title), tag("p", none, class_="note"))
    columns = ("Path", "At the tip", "Packed, all of history", "Last change", "Evidence")
    told, others = found[:ROWS], found[ROWS:]
    rows = [(path(each.path), size(each.size), size(each.disk), date(each.touch.time), _evidence(each)) for each in told]
    grid = table(Grid(title, columns, rows, _rest(others), 2))
    return (tag("h3", f"{title}: {len(found):,}"), tag("p", note, class_="note"), grid, _flags(told))


def _rest(others: Sequence[Dead]) -> tuple[Cell, ...] | None:
    if not others:
        return None
    sums = (size(sum(each.size for each in others)), size(sum(each.disk for each in others)))
    return (words(f"{len(others):,} more"), *sums, words(""), words("in report.json"))


def _evidence(each: Dead) -> Cell:
    return Cell(tag("ul", *(tag("li", sentence) for sentence in each.evidence)))


def _flags(found: Sequence[Dead]) -> Markup:
    lines = " \\\n".join(f"--drop {shlex.quote(each.drop)}" for each in found)
    return tag(
        "details",
        tag("summary", "As flags for builder slim-repo"),
        tag("button", "Copy", type="button", class_="copy"),
        tag("pre", tag("code", lines), tabindex="0"),
    )


def _unknown(advice: Advice) -> tuple[Markup, ...]:
    if not advice.unknown:
        return ()
    listed = list(advice.unknown.items())
    items = [tag("li", path(name).shown, f": {why}") for name, why in listed[:_UNKNOWN]]
    if len(listed) > _UNKNOWN:
        items.append(tag("li", f"{len(listed) - _UNKNOWN:,} more, all of them in report.json"))
    title = f"Of {len(listed):,} files nothing can be said"
    return (tag("details", tag("summary", title), tag("ul", *items)),)
