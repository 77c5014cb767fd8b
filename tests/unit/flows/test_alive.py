"""Whether a process of the ledger lives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.runs import alive
from builder.runs.alive import birth, is_alive, mark


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()
    assert process.stdin
    process.stdin.close()


@pytest.fixture(params=["proc", "ps"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How processes are looked at: Linux has /proc, other systems have ps alone."""
    if request.param == "ps":
        monkeypatch.setattr(alive, "_BOOT", Path("/nowhere"))
    return str(request.param)


def test_a_process_lives_until_it_ends(child: subprocess.Popen[bytes], way: str) -> None:
    record = {"host": socket.gethostname(), **mark(child.pid, "supervisor")}
    assert record["supervisor_born"]
    assert is_alive(record) is True
    child.kill()
    deadline = time.monotonic() + 5
    while birth(child.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert is_alive(record) is False, "a zombie is dead"
    child.wait()
    assert is_alive(record) is False


def test_another_process_of_the_same_number_is_not_it(child: subprocess.Popen[bytes], way: str) -> None:
    record = {"host": socket.gethostname(), **mark(child.pid, "pid")}
    assert is_alive({**record, "pid_born": "another"}, "pid") is False
    if way == "proc":  # ps tells whole seconds
        assert is_alive({**record, "pid_born": birth(os.getpid())}, "pid") is False


def test_only_its_own_machine_can_tell(child: subprocess.Popen[bytes]) -> None:
    assert is_alive({"host": "elsewhere", **mark(child.pid, "supervisor")}) is None


def test_a_record_that_names_no_process_is_of_a_dead_one() -> None:
    assert is_alive({"host": socket.gethostname()}) is False
