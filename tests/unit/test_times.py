"""When a schedule starts: what Argo's parser takes is taken, and nothing else."""

from __future__ import annotations

import zoneinfo

import pytest

from builder.settings.times import cron, timezone


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
