"""What a person is told while a registry lets us wait."""

from __future__ import annotations

import time

import pytest

from builder.stores.registry.patience import Patience, silent
from builder.stores.registry.retry import Retry, TransientError


def test_a_wait_is_told_once_in_a_while() -> None:
    said: list[str] = []
    patience = Patience("r.example", said.append, seconds=0.02)
    with patience.waiting() as sent:
        sent()
        time.sleep(0.07)
    count = len(said)
    assert 2 <= count <= 4
    assert set(said) == {"still waiting for r.example"}
    time.sleep(0.05)
    assert len(said) == count, "it ends with the request"


def test_what_is_still_being_sent_is_no_wait() -> None:
    said: list[str] = []
    with Patience("r.example", said.append, seconds=0.01).waiting():
        time.sleep(0.04)
    assert said == []


def test_retries_are_told_and_counted_but_not_each() -> None:
    said: list[str] = []
    patience = Patience("r.example", said.append)
    retry = Retry(tries=4, sleep=lambda _: None, tell=patience.again)

    def fail(_: int) -> None:
        raise TransientError("no", brief="answers 503")

    with pytest.raises(TransientError):
        retry.run(fail)
    assert said == ["r.example answers 503, trying again"]


def test_a_wait_says_how_often_it_was_tried() -> None:
    said: list[str] = []
    patience = Patience("r.example", said.append, seconds=0.02)
    patience.again(TransientError("no"), 2)
    with patience.waiting() as sent:
        sent()
        time.sleep(0.06)
    assert "still waiting for r.example (tried 2 times)" in said


def test_nobody_listens_by_default() -> None:
    with Patience("r.example").waiting() as sent:
        sent()
    silent("x")
