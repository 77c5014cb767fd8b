"""When a schedule starts: what Argo's parser takes is taken, and nothing else."""

from __future__ import annotations

import zoneinfo
from datetime import datetime

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from builder.settings.times import cron, last_due, timezone

steady = examples(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine takes its time


@pytest.mark.parametrize(
    "value", ["0 2 * * *", "*/5 1-3,4 ? JAN-mar MON", "@daily", "0-5/2 * * * *", "5/10 * * * *", "59 23 31 12 6", "0 2 * * mon-fri"]
)
def test_good(value: str) -> None:
    cron(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "@every 1h",
        "@nightly",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 7",
        "*/0 * * * *",
    ],
)
def test_bad(value: str) -> None:
    with pytest.raises(ValueError, match='five fields such as "0 2'):
        cron(value)


@pytest.mark.parametrize("value", ["5-1 * * * *", "a * * * *", "1-2-3 * * * *", "1, * * * *", "* * * mon *", "* * L * *", "-1 * * * *"])
def test_bad_parts(value: str) -> None:
    with pytest.raises(ValueError, match='five fields such as "0 2'):
        cron(value)


def test_time_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("UTC", "Europe/Berlin"):
        timezone(value)
    with pytest.raises(ValueError, match="a time zone such as"):
        timezone("Europe/Berlim")
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    timezone("Europe/Berlim")
    with pytest.raises(ValueError, match="a time zone such as"):
        timezone("two words")


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("expression", "zone", "expected"),
    [
        ("0 2 * * *", "UTC", "2024-05-01 02:00"),
        ("30 23 * * *", "UTC", "2024-04-30 23:30"),
        ("*/15 * * * *", "UTC", "2024-05-01 12:00"),
        ("7/20 * * * *", "UTC", "2024-05-01 11:47"),
        ("0 2 * * mon-fri", "UTC", "2024-05-01 02:00"),
        ("0 2 * * SUN", "UTC", "2024-04-28 02:00"),
        ("0 2 13 * 5", "UTC", "2024-04-26 02:00"),  # the 13th, or a Friday
        ("0 2 13 4 *", "UTC", "2024-04-13 02:00"),
        ("@monthly", "UTC", "2024-05-01 00:00"),
        ("@yearly", "UTC", "2024-01-01 00:00"),
        ("0 14 * * *", "Europe/Berlin", "2024-05-01 14:00"),
        ("1 14 * * *", "Europe/Berlin", "2024-04-30 14:01"),
    ],
)
def test_when_it_was_due_last(expression: str, zone: str, expected: str) -> None:
    noon = at("2024-05-01 12:00")
    assert last_due(expression, zone, at("2023-12-31 23:00"), noon) == at(expected, zone)
    assert last_due(expression, zone, at(expected, zone), noon) is None, "after that there was none"


def test_clocks_that_are_put_on_and_back() -> None:
    zone = "Europe/Berlin"
    assert last_due("30 2 * * *", zone, at("2024-03-29 12:00"), at("2024-03-31 12:00")) == at("2024-03-30 02:30", zone), "none on that day"
    twice = last_due("30 2 * * *", zone, at("2024-10-26 12:00"), at("2024-10-27 12:00"))
    assert twice == at("2024-10-27 00:30"), "02:30 CEST, the first of two"


@steady
@given(st.integers(0, 59), st.integers(0, 23), st.floats(0, 10 * 86400))
def test_a_daily_time_is_due_once_a_day(minute: int, hour: int, after: float) -> None:
    start = at("2024-01-01 00:00") + after
    due = last_due(f"{minute} {hour} * * *", "UTC", start - 86400, start)
    assert due is not None
    assert start - 86400 < due <= start
    assert datetime.fromtimestamp(due, zoneinfo.ZoneInfo("UTC")).timetuple()[3:5] == (hour, minute)


def test_a_zone_that_nobody_knows() -> None:
    assert last_due("0 2 * * *", "Mars/Olympus", 0, at("2024-05-01 12:00")) is None
