"""When a box has been idle for too long: a law about looks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.devbox import idle
from builder.devbox.idle import Idle, in_words, processor_seconds

LOOKS = st.lists(st.tuples(st.floats(1, 100), st.integers(0, 2), st.floats(0, 3)), max_size=30)


@given(LOOKS)
def test_it_is_idle_since_the_last_look_that_saw_somebody_or_work(looks: list[tuple[float, int, float]]) -> None:
    state, now, used, busy_at = Idle(0.0, 0.0), 0.0, 0.0, 0.0
    for passed, connections, share in looks:
        now, used = now + passed, used + passed * share
        state = state.seen(now, connections, used)
        if connections or share > 0.051:
            busy_at = now
        if not 0.049 < share < 0.051:
            assert state.since >= busy_at
            assert connections or share > 0.05 or state.since < now
    assert state.left(1000) <= 1000.001


def test_whoever_waits_is_not_at_work() -> None:
    state = Idle(0.0, 0.0).seen(60, 0, 0.5).seen(120, 0, 1.0)
    assert state.left(300) == 180
    assert state.seen(180, 0, 30.0).left(300) == 300, "something computes"
    assert state.seen(180, 1, 1.0).left(300) == 300, "somebody is connected"


def test_processor_seconds_of_both_kinds_of_cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = tmp_path / "cpu.stat", tmp_path / "cpuacct.usage"
    monkeypatch.setattr(idle, "_STAT", ((new, "usage_usec", 1e-6), (old, "", 1e-9)))
    assert processor_seconds() == 0.0
    old.write_text("2500000000\n")
    assert processor_seconds() == 2.5
    new.write_text("usage_usec 1500000\nuser_usec 1000000\n")
    assert processor_seconds() == 1.5


@pytest.mark.parametrize(("limit", "words"), [(15, "15s"), (90, "90s"), (5400, "90m"), (14400, "4h"), (604800, "7d")])
def test_a_limit_in_the_words_of_the_settings(limit: int, words: str) -> None:
    assert in_words(limit) == words
