"""Who writes and who collects see each other, in every kind of data root."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from builder.data import turns
from builder.data.interface import Objects
from builder.data.turns import COMING, TURN, Turn, announced, clock, collecting, coming, forget_coming, forget_made, made, mark_made
from builder.errors import DataError
from tests.fixtures.roots import KINDS, made_root
from tests.fixtures.waiting import until

NAME = "ab" * 32


@pytest.fixture(params=KINDS)
def root(request: pytest.FixtureRequest) -> Iterator[Objects]:
    with made_root(request.param, request) as made_one:
        yield made_one


def test_what_is_announced_is_read_until_it_is_written(root: Objects) -> None:
    with announced(root, (b"one", NAME.encode())), collecting(root) as turn:
        assert list(coming(root, turn.now)) == [b"one\n" + NAME.encode()]
    assert list(root.list()) == []


def test_who_writes_waits_for_who_collects(root: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_LOOK_EVERY", 0.05)
    wrote = threading.Event()

    def write() -> None:
        with announced(root, (b"x",)):
            wrote.set()

    with collecting(root):
        writer = threading.Thread(target=write)
        writer.start()
        until(lambda: list(root.list(COMING)))
        assert not wrote.wait(0.5)
    writer.join(60)
    assert wrote.is_set()


def test_one_collects_at_a_time(root: Objects) -> None:
    with collecting(root), pytest.raises(DataError, match="somebody else is clearing away in"), collecting(root):
        pass
    with collecting(root):
        pass


def test_a_collector_that_died_holds_up_nobody(root: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = Turn(root)
    dead.take()
    monkeypatch.setattr(turns, "_STALE", -5.0)
    with announced(root, (b"x",)):
        pass
    with collecting(root) as turn:
        turn.check()
        with pytest.raises(DataError, match="somebody else began"):
            dead.check()
        dead.leave()
        turn.check()
    assert root.get(TURN) is None


def test_what_writers_left_who_died_is_forgotten(root: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    root.put(f"{COMING}/dead", b"x")
    now = clock(root)
    assert list(coming(root, now)) == [b"x"]
    forget_coming(root, now)
    assert list(coming(root, now)) == [b"x"]
    monkeypatch.setattr(turns, "_FORGOTTEN", -5.0)
    assert list(coming(root, now)) == []
    forget_coming(root, now)
    assert list(root.list()) == []


def test_what_was_made_again_is_remembered(root: Objects) -> None:
    mark_made(root, NAME)
    now = clock(root)
    assert list(made(root, now - 60)) == [(NAME, True)]
    assert list(made(root, now + 60)) == [(NAME, False)]
    forget_made(root, [NAME])
    assert list(root.list()) == []


def test_a_collector_that_takes_too_long_goes_no_further(root: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers may have gone on without it."""
    with collecting(root) as turn:
        turn.check()
        monkeypatch.setattr(turns, "_LONGEST", -1.0)
        with pytest.raises(DataError, match="answers too slowly"):
            turn.check()
    assert root.get(TURN) is None
