"""When a schedule starts, as Argo's cron parser reads it: it would take nothing else, and say so only inside the cluster.

https://pkg.go.dev/github.com/robfig/cron/v3#hdr-CRON_Expression_Format
"""

from __future__ import annotations

import re

_WORDS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
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
