"""`report.html`: one file. Its own rules (Content-Security-Policy) let it load nothing, and run nothing but the one script it has."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from repo_slim.report.clones import COMMAND
from repo_slim.report.dead_code import advice_of
from repo_slim.report.markup import Markup, bar, join, tag
from repo_slim.report.plot import plot
from repo_slim.report.sections import held, jumps, largest, lfs, sums
from repo_slim.text import bytes_text, day

if TYPE_CHECKING:
    from repo_slim.report import Report

_Section = tuple[str, str, tuple[Markup, ...]]
_HERE = Path(__file__).parent
_RULES = "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_WORTH = 0.95
"""A filter that leaves more than this of a clone is not worth the words."""


def page(report: Report) -> str:
    """The same for the same report."""
    script, style = ((_HERE / name).read_text("utf-8") for name in ("page.js", "page.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = f"default-src 'none'; script-src 'sha256-{digest}'; {_RULES}"
    head = tag(
        "head",
        Markup(f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{rules}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'),
        Markup('<link rel="icon" href="data:,">'),  # or a browser asks for /favicon.ico
        tag("title", f"{report.name}: what its history holds"),
        tag("style", Markup(style)),
    )
    body = tag("body", _header(report), tag("main", *_main(report)), tag("script", Markup(script)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en').html}\n"


def _header(report: Report) -> Markup:
    links = [tag("a", title, href=f"#{name}") for name, title, _ in _sections(report)]
    counted = f"{report.commits:,} commits, the last of {day(report.last)}; {report.clone.objects:,} objects in a clone"
    return tag("header", tag("h1", tag("bdi", report.name)), tag("p", counted, class_="note"), tag("nav", *links, aria_label="Sections"))


def _main(report: Report) -> Iterator[Markup]:
    yield _first(report)
    for name, title, inside in _sections(report):
        yield tag("section", tag("h2", title), *inside, id=name)


def _first(report: Report) -> Markup:
    """What costs nothing is said first."""
    clone = report.clone
    filtered, before = bytes_text(clone.filter_blob_limit_1m), bytes_text(clone.before)
    command = tag("code", f"{COMMAND} URL")
    if clone.filter_blob_limit_1m < _WORTH * clone.before:
        said = join("Without any rewrite, ", command, " takes ", tag("strong", filtered), f" instead of {before}.")
    else:
        said = join(command, f" would take {filtered} of {before}: next to nothing is gained.")
    how = join(
        "Git then fetches a large file only when a commit that has it is checked out. GitHub and GitLab allow it; a server of your own ",
        "does after ",
        tag("code", "git config uploadpack.allowFilter true"),
        ". It helps whoever clones so, and nobody else; the plan makes every clone small.",
    )
    lfs = f"A checkout of HEAD fetches {bytes_text(clone.lfs_of_head)} from the LFS server besides, in every case."
    note = (tag("p", lfs, class_="note"),) if clone.lfs_of_head else ()
    return tag("section", tag("p", said, class_="lead"), tag("p", how), _bars(report), *note, id="first")


def _bars(report: Report) -> Markup:
    clone = report.clone
    rows = (
        ("With the filter, no rewrite", clone.filter_blob_limit_1m, "small"),
        ("A clone now", clone.before, ""),
        ("After the plan", clone.after, "small"),
        ("After the plan, with the filter", clone.after_with_filter, "small"),
    )
    most = max(value for _, value, _ in rows) or 1
    drawn = [(title, bar(100 * value / most, kind), tag("span", bytes_text(value))) for title, value, kind in rows]
    return tag("dl", *(join(tag("dt", title), tag("dd", *shown)) for title, *shown in drawn), class_="bars")


def _sections(report: Report) -> list[_Section]:
    """Anchor, heading and content."""
    total = sum(row.disk for row in (*report.paths.rows, *([report.paths.rest] if report.paths.rest else [])))
    grown = tag("figure", plot(report.growth.points), tag("figcaption", *_legend()))
    found: list[_Section] = [("growth", "How it grew", (grown, tag("h3", "The commits that added most"), jumps(report.growth)))]
    for name, title, heading, note in _TABLES:
        found.append((name, title, (tag("p", note, class_="note"), sums(getattr(report, name), heading, title, total))))
    if report.held:
        found.append(("held", "Held back", (held(report.held),)))
    found.append(("largest", "Largest ever", (largest(report.largest),)))
    if report.lfs.objects:
        found.append(("lfs", "LFS", lfs(report.lfs)))
    if report.advice:
        found.append(("advice", "Dead code", advice_of(report.advice)))
    return found


_COUNTED = "A file version that has several names counts for the first of them."
_NESTED = "Each with all that is below it. What has gone from every branch weighs on every clone all the same."
_TABLES = (
    ("directories", "Directories", "Directory", _NESTED),
    ("extensions", "Extensions", "Extension", ""),
    ("paths", "Paths", "Path", _COUNTED),
    ("ages", "Age", "Added before the last commit", ""),
    ("authors", "Authors", "Author of the first commit", ""),
)


def _legend() -> tuple[Markup, ...]:
    return (
        tag("span", "all file versions, packed", class_="key all"),
        tag("span", "those below 1 MiB", class_="key small"),
    )
