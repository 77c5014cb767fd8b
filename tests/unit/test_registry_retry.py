"""When the registry client tries again, and how long it waits."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from builder.stores.registry.retry import Retry, TransientError, retry_after


def waits(tries: int, after: float = 0.0, jitter: float = 1.0) -> list[float]:
    slept: list[float] = []

    def fail(tried: int) -> None:
        raise TransientError("no", after=after)

    with pytest.raises(TransientError):
        Retry(tries=tries, first=0.5, longest=3.0, sleep=slept.append, jitter=lambda: jitter).run(fail)
    return slept


def test_waits_double_up_to_the_longest() -> None:
    assert waits(6) == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_jitter_is_full() -> None:
    assert waits(3, jitter=0.0) == [0.0, 0.0]


def test_the_server_says_how_long_but_not_forever() -> None:
    assert waits(2, after=2.0, jitter=0.0) == [2.0]
    assert waits(2, after=86400.0) == [3.0]


def test_each_try_knows_its_number_and_the_first_success_ends_it() -> None:
    seen: list[int] = []

    def third_time(tried: int) -> str:
        seen.append(tried)
        if tried < 2:
            raise TransientError("no")
        return "yes"

    assert Retry(sleep=lambda _: None).run(third_time) == "yes"
    assert seen == [0, 1, 2]


def test_other_errors_are_not_tried_again() -> None:
    with pytest.raises(ZeroDivisionError):
        Retry(sleep=lambda _: pytest.fail("slept")).run(lambda tried: 1 // tried)


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 3, 1, tzinfo=timezone.utc)
    later = format_datetime(now + timedelta(seconds=30), usegmt=True)
    assert retry_after({"Retry-After": "7"}) == 7.0
    assert retry_after({"Retry-After": later}, now.timestamp) == 30.0
    assert retry_after({"Retry-After": format_datetime(now - timedelta(hours=1), usegmt=True)}, now.timestamp) == 0.0


@pytest.mark.parametrize("nonsense", ["", "-5", "soon", "1e9", "٣", "Mon, 99 Foo 2026", "9" * 5000])
def test_a_nonsense_retry_after_is_no_reason_to_fail(nonsense: str) -> None:
    assert retry_after({"Retry-After": nonsense}) >= 0.0
    assert retry_after({}) == 0.0
