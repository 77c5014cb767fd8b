"""When a schedule starts, as Argo's cron parser reads it: it would take nothing else, and say so only inside the cluster.

https://pkg.go.dev/github.com/robfig/cron/v3#hdr-CRON_Expression_Format
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, tzinfo
from datetime import timezone as fixed

_YEARLY, _DAILY = "0 0 1 1 *", "0 0 * * *"
_WORDS = {
    "@yearly": _YEARLY,
    "@annually": _YEARLY,
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": _DAILY,
    "@midnight": _DAILY,
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = ((0, 59, ()), (0, 23, ()), (1, 31, ()), (1, 12, _MONTHS), (0, 6, _DAYS))
"""Least and greatest value, and names from the least on: minute, hour, day of the month, month, day of the week (0 is Sunday)."""

_PART = re.compile(r"(?:[*?]|(?P<first>[0-9A-Za-z]+)(?:-(?P<last>[0-9A-Za-z]+))?)(?:/(?P<step>\d+))?\Z")
_EXPECTED = 'five fields such as "0 2 * * *": minute 0-59, hour 0-23, day 1-31, month 1-12, day of the week 0-6 (0 is Sunday)'


def cron(value: str) -> None:
    words = value.split()
    if value in _WORDS:
        return
    if len(words) != len(_FIELDS) or not all(_fits(word, *field) for word, field in zip(words, _FIELDS, strict=True)):
        raise ValueError(_EXPECTED)


def _fits(word: str, least: int, greatest: int, names: tuple[str, ...]) -> bool:
    def number(text: str) -> int:
        return least + names.index(text.lower()) if text.lower() in names else int(text) if text.isdecimal() else -1

    for part in word.split(","):
        match = _PART.match(part)
        if not match or match["step"] == "0":
            return False
        if match["first"]:
            first = number(match["first"])
            if not least <= first <= number(match["last"] or match["first"]) <= greatest:
                return False
    return True


def timezone(value: str) -> None:
    """Where this machine knows no time zones, whatever looks like one."""
    import zoneinfo  # only for those who name one

    known = zoneinfo.available_timezones()
    if value not in known if known else not re.fullmatch(r"[A-Za-z0-9_+/-]+", value):
        raise ValueError('a time zone such as "UTC" or "Europe/Berlin"')


def last_due(expression: str, zone_name: str, after: float, until: float) -> float | None:
    """The last time in (after, until], in seconds since 1970, at which a schedule is due; None when there is none, or where this machine
    does not know the time zone. A time that a clock shows twice is due at the first.
    """
    zone = zone_of(zone_name)
    if zone is None or until <= after:
        return None
    fields = _sets(_WORDS.get(expression, expression).split())
    day, first = datetime.fromtimestamp(until, zone).date(), datetime.fromtimestamp(after, zone).date()
    while day >= first:
        if _is_day(day, fields):
            for stamp in _stamps(day, zone, fields):
                if after < stamp <= until:
                    return stamp
        day -= timedelta(days=1)
    return None


def zone_of(name: str) -> tzinfo | None:
    """None where this machine does not know it."""
    import zoneinfo

    if name in ("", "UTC"):
        return fixed.utc
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return None


_Sets = list[tuple[frozenset[int], bool]]
"""Of each field its values, and whether it says nothing (`*`)."""


def _sets(words: list[str]) -> _Sets:
    found = [_values(word, *field) for word, field in zip(words, _FIELDS, strict=True)]
    return [(values, any(part in ("*", "?", "*/1", "?/1") for part in word.split(","))) for values, word in zip(found, words, strict=True)]


def _values(word: str, least: int, greatest: int, names: tuple[str, ...]) -> frozenset[int]:
    def number(text: str) -> int:
        return least + names.index(text.lower()) if text.lower() in names else int(text)

    found: set[int] = set()
    for part in word.split(","):
        match = _PART.match(part)
        assert match
        first = number(match["first"]) if match["first"] else least
        open_ended = not match["first"] or (match["step"] and not match["last"])
        last = greatest if open_ended else number(match["last"] or match["first"])
        found.update(range(first, last + 1, int(match["step"] or 1)))
    return frozenset(found)


def _is_day(day: date, fields: _Sets) -> bool:
    """Where both the day of the month and that of the week are said, either will do."""
    (days, any_day), (months, _), (weekdays, any_weekday) = fields[2:]
    if day.month not in months:
        return False
    of_month, of_week = day.day in days, day.isoweekday() % 7 in weekdays
    return of_month and of_week if any_day or any_weekday else of_month or of_week


def _stamps(day: date, zone: tzinfo, fields: _Sets) -> list[float]:
    """The last first. A time that the day leaves out, as clocks go forward, is none."""
    (minutes, _), (hours, _) = fields[:2]
    clocks = [(hour, minute) for hour in sorted(hours, reverse=True) for minute in sorted(minutes, reverse=True)]
    moments = [datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone) for hour, minute in clocks]
    there = [moment for moment in moments if datetime.fromtimestamp(moment.timestamp(), zone).timetuple()[:5] == moment.timetuple()[:5]]
    return [moment.timestamp() for moment in there]
