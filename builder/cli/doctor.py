"""`builder doctor`: what works here, what does not, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli import output, wiring
from builder.errors import SettingsError
from builder.settings import Settings

if TYPE_CHECKING:
    from builder.doctor import Report, Scene


@click.command()
@click.option("--deep", is_flag=True, help="Also run a pod in the image of HEAD that reads and writes the data root: up to a minute.")
@output.format_option("table", "json")
def command(deep: bool, form: str) -> int:
    """Check this machine, the settings, the store and the cluster.

    A line each: ok, failed with what to do, or - where it is not needed. Ends with 1 when something needed fails.
    """
    from builder.doctor import CHECKS, examine

    coming = examine(CHECKS, scene(deep=deep))
    if form == "json":
        reports = list(coming)
        output.document({"checks": [_as_json(report) for report in reports]})
    else:
        reports = [_show(report) for report in _with_headings(coming)]
    return int(any(report.found.state == "failed" for report in reports))


def scene(*, deep: bool = False) -> Scene:
    """Where we stand."""
    import os

    from builder.doctor import Scene

    start, trouble = Path.cwd(), None
    try:
        settings = wiring.load_settings(start)
    except SettingsError as error:
        settings, trouble = Settings(root=start), error
    return Scene(
        start, os.environ, settings, lambda text: wiring.open_store(text, settings), trouble, lambda: wiring.open_cluster(settings), deep
    )


def _with_headings(reports: Iterable[Report]) -> Iterator[Report]:
    group = ""
    for report in reports:
        if report.check.group != group:
            output.result(("\n" if group else "") + report.check.group)
            group = report.check.group
        yield report


def _show(report: Report) -> Report:
    found = report.found
    output.result(f"  {found.state:<7} {report.check.name:<13} {found.detail}")
    if found.remedy:
        output.result(f"  {'':<7} {'':<13} -> {found.remedy}")
    return report


def _as_json(report: Report) -> dict[str, str]:
    found = report.found
    return {"group": report.check.group, "name": report.check.name, "state": found.state, "detail": found.detail, "remedy": found.remedy}
