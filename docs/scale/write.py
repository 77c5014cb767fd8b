"""Writes the numbers of docs/explanation/scale.md: what a large team costs, and what breaks first.

Run: .venv/bin/python docs/scale/write.py            writes the page's tables anew
     .venv/bin/python docs/scale/write.py --check    fails when they are not what this script writes
     .venv/bin/python docs/scale/write.py --commits 5000 --people 1000 --nodes 2000    prints them for another team
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from constants import CONSTANTS, DAY, GB, HOUR, KB, MB, TB, Constant, constant
from simulation import IN_HOURS, Pull, Team, day_of_pushes, pull

PAGE = Path(__file__).parents[1] / "explanation" / "scale.md"
_DAYS, _YEAR = 30, 365  # the default of [housekeep] templates; nothing cleared away
_WORKFLOW_DAYS = 0.8 * 7 + 0.2 * 30  # one in five fails: the defaults of [deploy] keep_succeeded and keep_failed


@dataclass(frozen=True, slots=True)
class Table:
    """`name` is the marker in the page; the columns after the first are figures."""

    name: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


# --- what stays -----------------------------------------------------------------------------------------------------------------------


def runs_a_day(team: Team) -> float:
    return team.people * team.runs


def etcd_bytes(team: Team, template_days: float, workflow_days: float) -> float:
    """Templates of the commits that ran, and workflows that have ended, each as long as it is kept."""
    templates = min(runs_a_day(team), team.commits) * constant("template")
    return template_days * templates + workflow_days * runs_a_day(team) * constant("workflow")


def status_seconds(team: Team, days: float) -> float:
    """One page after the other lists the names of runs; what has ended is not read again."""
    return max(1.0, days * runs_a_day(team) / constant("keys a page")) * constant("seconds a page")


# --- the tables -----------------------------------------------------------------------------------------------------------------------


def tables(team: Team) -> list[Table]:
    return [_requests_table(team), _pull_table(team), _storage_table(team), _limits_table(team), _constants_table()]


def _requests_table(team: Team) -> Table:
    load = day_of_pushes(team)
    listing = status_seconds(team, 90) / constant("seconds a page")
    looks = team.people * team.looks
    rows = (
        ("images, on the day's average", f"{load.mean:.2f} requests/s"),
        ("images, in the busiest second of the day", f"{load.peak} requests/s, {load.puts} of them put a tag"),
        ("images, bytes sent in a day", size(team.commits * constant("new bytes"))),
        ("… if all code were one layer", size(team.commits * constant("whole layer"))),
        ("`builder status`, a ledger of 90 days", f"{listing:.0f} requests each, {looks * listing / DAY:.1f} requests/s of all people"),
        ("records of runs", f"{runs_a_day(team) * constant('objects a run'):,.0f} objects a day, of {size(constant('bytes an object'))}"),
    )
    return Table("requests", ("what", f"{team.commits:,} commits a day, {team.people} people"), rows)


def _pull_table(team: Team) -> Table:
    base_layers, base = int(constant("base layers")), constant("base bytes")
    pulls = (
        Pull("the code that changed (nodes ran a commit nearby)", int(constant("changed layers")), constant("new bytes")),
        Pull("all code (nodes have base and dependencies)", int(constant("code layers")), constant("code bytes")),
        Pull("everything (new nodes)", base_layers + int(constant("code layers")), base + constant("code bytes")),
    )
    rows = []
    for what in pulls:
        done = pull(team, what)
        rows.append((what.name, size(what.size), f"{done.half:,.0f} s", f"{done.all:,.0f} s", size(done.sent), f"{done.peak:,}"))
    head = ("what each node lacks", "of it", "half have it", "all have it", "sent by the registry", "requests/s, busiest")
    return Table("pulls", head, tuple(rows))


def _storage_table(team: Team) -> Table:
    spans = (_DAYS, _YEAR)
    etcd = (etcd_bytes(team, _DAYS, _WORKFLOW_DAYS), etcd_bytes(team, _YEAR, _YEAR))
    rows = (
        ("code layers", *(size(team.commits * days * constant("new bytes")) for days in spans)),
        ("… if all code were one layer", *(size(team.commits * days * constant("whole layer")) for days in spans)),
        ("images", *(f"{team.commits * days:,}" for days in spans)),
        ("tags", *(f"{2 * team.commits * days:,}" for days in spans)),
        ("objects of the ledger", *(f"{days * runs_a_day(team) * constant('objects a run'):,.0f}" for days in spans)),
        ("templates and workflows in etcd", *map(size, etcd)),
        ("`builder status`, listing runs", *(f"{status_seconds(team, days):.1f} s" for days in spans)),
    )
    return Table("storage", ("what", f"{_DAYS} days", "a year, nothing cleared away"), rows)


@dataclass(frozen=True, slots=True)
class Limit:
    """`load` now, against what it may be; `remedy`: what to set."""

    what: str
    load: float
    most: Constant
    remedy: str

    @property
    def room(self) -> float:
        return self.most.value / self.load


def limits(team: Team) -> list[Limit]:
    """The least room first."""
    load, daily, busy = (
        day_of_pushes(team),
        runs_a_day(team),
        IN_HOURS / (10 * HOUR),
    )  # `busy`: of a day's, in a second of the working hours
    all_code = pull(team, Pull("all code", int(constant("code layers")), constant("code bytes")))
    etcd, records, pods = etcd_bytes(team, _DAYS, _WORKFLOW_DAYS), daily * constant("objects a run"), daily * constant("pods a run")
    found = (
        ("tags put in a second, ECR", load.puts, "puts, ECR", "nothing: it waits and tries again; or ask AWS for more"),
        ("images in one repository of ECR", team.images, "images, ECR", "`builder gc images` each night, or ask AWS for more"),
        ("templates and workflows in etcd, kept as by default", etcd, "etcd", "`[deploy] keep_succeeded`, `[housekeep] templates`"),
        ("waiting for `builder status`, 90 days of runs", status_seconds(team, 90), "patience", "`builder gc runs --keep-days 90`"),
        ("new objects in a second, S3", records * busy, "puts, S3", "nothing"),
        (
            "minutes of a nightly clean-up, docker-registry",
            team.commits * 2 * team.images * constant("delete") / 60,
            "night",
            "a registry with a database: ECR, Harbor",
        ),
        ("statuses and comments in an hour, GitHub", 2 * team.commits * busy * HOUR, "writes, GitHub", "`--report` on fewer branches"),
        ("squeue calls in a minute", constant("looks"), "squeue", "nothing: one look serves all steps, however many they are"),
        ("pods started in a second", pods * busy, "pods", "nothing"),
        (
            "requests in a second, all nodes take all code",
            all_code.peak,
            "requests, registry",
            "a registry that redirects to object storage, or a second process",
        ),
    )
    return sorted((Limit(what, load, CONSTANTS[most], remedy) for what, load, most, remedy in found), key=lambda limit: limit.room)


def _limits_table(team: Team) -> Table:
    rows = (
        (one.what, amount(one.load, one.most.unit), amount(one.most.value, one.most.unit), _room(one), one.remedy) for one in limits(team)
    )
    return Table("limits", ("what", "load", "limit", "room", "what to set"), tuple(rows))


def _room(limit: Limit) -> str:
    return f"{limit.room:,.1f} x"


def _constants_table() -> Table:
    rows = tuple((one.meaning_with(name), amount(one.value, one.unit), one.source) for name, one in CONSTANTS.items())
    return Table("constants", ("constant", "value", "from"), rows)


def size(value: float) -> str:
    for unit, name in ((TB, "TB"), (GB, "GB"), (MB, "MB"), (KB, "kB")):
        if value >= unit:
            return f"{value / unit:,.1f} {name}"
    return f"{value:.0f} B"


def amount(value: float, unit: str) -> str:
    if unit in ("B", "B/s"):
        return size(value) + unit[1:]
    number = f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"
    return f"{number} {unit}" if unit and not unit.startswith("/") else number + unit


# --- the page -------------------------------------------------------------------------------------------------------------------------


def markdown(table: Table) -> str:
    rule = "|---" + "|--:" * (len(table.head) - 1) + "|"
    lines = ("| " + " | ".join(row) + " |" for row in (table.head, *table.rows))
    head, *rest = lines
    return "\n".join((head, rule, *rest))


def filled(page: str, made: Sequence[Table]) -> str:
    """The page with each `<!-- name -->` ... `<!-- end -->` filled anew. Raises SystemExit when it has no place for a table."""
    for table in made:
        place = re.compile(rf"(<!-- {table.name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not place.search(page):
            raise SystemExit(f"{PAGE.name} has no <!-- {table.name} -->")
        page = place.sub(rf"\1\n{_escaped(markdown(table))}\n\n\2", page)
    return page


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\")


def main(argv: Sequence[str]) -> int:
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--check", action="store_true")
    for name in ("commits", "people", "images", "nodes"):
        asked.add_argument(f"--{name}", type=int, default=getattr(Team(), name))
    given = asked.parse_args(argv)
    team = Team(given.commits, given.people, given.images, given.nodes)
    if team != Team():
        sys.stdout.write("\n\n".join(markdown(table) for table in tables(team)[:-1]) + "\n")
        return 0
    before = PAGE.read_text()
    after = filled(before, tables(team))
    if given.check:
        return int(after != before)
    PAGE.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
