"""Which schedules ran on which days, and when one was due and did not: the calendar. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo

from builder.data.ledger import seconds_of
from builder.page.facts import Day, Nights
from builder.runs.history import Seen
from builder.settings.times import last_due, zone_of
from builder.watch.facts import Schedule

DAYS = 42
MISSED = "missed"
_PATIENCE = 3600.0
"""Seconds after its time in which a run may still begin."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule: `cron` is empty where only its runs tell of it. `since`: before that nothing was due."""

    flow: str
    cron: str = ""
    timezone: str = "UTC"
    since: float | None = None
    last: float | None = None
    paused: bool = False
    recorded: bool = True


def calendar(plans: Mapping[str, Plan], runs: Sequence[Seen], now: float, *, known_since: float = 0.0) -> tuple[Nights, ...]:
    """By the schedules' names. Before `known_since` runs are not known. Of a flow whose runs write no records (`recorded` is false)
    nothing is missed: `last` says when it ran.
    """
    ours: dict[str, list[Seen]] = {name: [] for name in plans}
    for seen in runs:
        if (name := str(seen.origin.get("schedule") or "")) and seen.started:
            ours.setdefault(name, []).append(seen)
    return tuple(_nights(name, plans.get(name), ours[name], now, known_since) for name in sorted(ours))


def _nights(name: str, plan: Plan | None, runs: Sequence[Seen], now: float, known_since: float) -> Nights:
    plan = plan or Plan(runs[-1].flow)
    zone = zone_of(plan.timezone) or timezone.utc
    by_day: dict[str, list[Seen]] = {}
    for seen in sorted(runs, key=lambda seen: seen.started):
        by_day.setdefault(datetime.fromtimestamp(seconds_of(seen.started), zone).date().isoformat(), []).append(seen)
    begins = max(known_since, _begins(plan, runs))
    days = tuple(_day(plan, begin, end, by_day, begins, now) for begin, end in _days(now, zone))
    return Nights(name, plan.flow, plan.cron, plan.timezone, days, plan.paused, plan.last)


def _begins(plan: Plan, runs: Sequence[Seen]) -> float:
    """Nobody knows since when a schedule is there that no cluster tells of: at the latest since its first run."""
    first = min((seconds_of(seen.started) for seen in runs), default=float("inf"))
    return first if plan.since is None else plan.since


def _days(now: float, zone: tzinfo) -> Iterator[tuple[datetime, datetime]]:
    today = datetime.fromtimestamp(now, zone).date()
    for back in range(DAYS - 1, -1, -1):
        day = today - timedelta(days=back)
        after = day + timedelta(days=1)
        yield datetime(day.year, day.month, day.day, tzinfo=zone), datetime(after.year, after.month, after.day, tzinfo=zone)


def _day(plan: Plan, begin: datetime, end: datetime, by_day: Mapping[str, Sequence[Seen]], begins: float, now: float) -> Day:
    date = begin.date().isoformat()
    if runs := by_day.get(date):
        return Day(date, runs[-1].state, tuple(seen.run for seen in runs))
    first, last = max(begin.timestamp() - 1, begins), min(end.timestamp() - 1, now - _PATIENCE)
    due = plan.recorded and plan.cron and not plan.paused and last_due(plan.cron, plan.timezone, first, last) is not None
    return Day(date, MISSED if due else "")


def plans_of(schedules: Iterable[Schedule], planned: Mapping[str, Plan]) -> dict[str, Plan]:
    """What the settings plan, as the cluster has it."""
    found = dict(planned)
    for there in schedules:
        plan = found.get(there.name, Plan(""))
        found[there.name] = Plan(plan.flow, there.cron, there.timezone, there.since, there.last, there.paused, plan.recorded)
    return found
