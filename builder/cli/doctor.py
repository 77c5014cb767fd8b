"""`builder doctor`: what works here, what does not, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli import output, wiring
from builder.errors import SettingsError, UsageError
from builder.settings import Settings

if TYPE_CHECKING:
    from builder.doctor import Report, Scene


@click.command()
@click.option("--deep", is_flag=True, help="Also run a pod in the image of HEAD that reads and writes the data root: up to a minute.")
@click.option("--step", metavar="STEP", default="", help="Check where this step runs instead: finetune, evaluate-click, ...")
@click.option("--on", "place", type=click.Choice(["slurm", "pod"]), default=None, help="With --step: there, whatever the settings say.")
@output.format_option("table", "json")
def command(deep: bool, step: str, place: str | None, form: str) -> int:
    """Check this machine, the settings, the store and the cluster; or where one step runs.

    A line each: ok, failed with what to do, or - where it is not needed. Ends with 1 when something needed fails.
    """
    from builder.doctor import CHECKS, examine

    if not step:
        if place:
            raise UsageError("--on says where a step is to run", "name it: --step finetune")
        return _show_all(examine(CHECKS, scene(deep=deep)), form)
    from builder.doctor.step import checks_of_step

    where = scene(deep=deep)
    _check_step(where, step)
    with checks_of_step(step, place or "", where) as checks:
        return _show_all(examine(checks, where), form)


def _check_step(where: Scene, step: str) -> None:
    """Raises the settings' own error where they cannot be read: there is nothing else to say of a step."""
    from builder.model.run import STEPS

    if where.trouble is not None:
        raise where.trouble
    known = dict.fromkeys([*STEPS, *where.settings.launch])
    if step.partition("-")[0] not in known:
        raise UsageError(f"there is no step {step}", f"such as {', '.join(known)}")


def _show_all(coming: Iterable[Report], form: str) -> int:
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
