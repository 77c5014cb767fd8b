from __future__ import annotations

import time

import pytest

from builder.data.threads import in_threads


def test_results_come_in_the_items_order() -> None:
    def work(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number * 2

    assert in_threads(work, range(50)) == [number * 2 for number in range(50)]
    assert in_threads(work, [3]) == [6]
    assert in_threads(work, []) == []


def test_after_an_error_nothing_more_is_begun() -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        time.sleep(0.01)
        if number == 0:
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        in_threads(work, range(10_000), 4)
    assert len(begun) < 100
