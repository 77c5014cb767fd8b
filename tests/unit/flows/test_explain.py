"""What people are told of a run, from its records alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from builder.data.directory import DirectoryObjects
from builder.data.ledger import Ledger
from builder.errors import LaunchError
from builder.settings import FlowSettings
from builder.steps import finetune
from builder.steps.config import Config
from builder.steps.explain import ended_of, explain, explanation_of, started_of
from builder.steps.outcome import steps_of
from builder.steps.request import Task
from tests.fixtures.requests import request_in

START = {"state": "succeeded", "flow": "finetune", "started": "2024-05-01T08:00:00Z", "ended": "2024-05-01T08:00:01Z"}
RUN = {"flow": "finetune", "state": "running", "started": "2024-05-01T07:59:58Z", "who": "ada"}

GONE = "it is gone, and nobody wrote its end"


def record(state: str, **facts: Any) -> dict[str, Any]:
    ended = {} if state in ("running", "waiting") else {"ended": "2024-05-01T08:02:05Z"}
    return {"state": state, "started": "2024-05-01T08:00:01Z", **ended, **facts}


def failed(end: str, error: str, hint: str = "") -> dict[str, Any]:
    return record("failed", end=end, error=error, hint=hint)


def test_a_command_that_fails_says_how_with_the_end_of_its_log(tmp_path: Path) -> None:
    script = "for line in range(30): print('line', line)\nraise SystemExit(3)"
    settings = FlowSettings(command=(sys.executable, "-u", "-c", script))
    request = request_in(tmp_path, settings)
    with pytest.raises(LaunchError):
        finetune.run(Task(request), Config(text="", suffix=".yaml"))
    first, *rest = explain("run-1", Ledger(DirectoryObjects(tmp_path / "data")).read("run-1"), "failed")
    assert first.startswith("run-1 failed in step finetune: exit code 3 after ")
    assert rest[0].startswith(f"`{sys.executable} -u -c ")
    assert rest[1] == "raise SystemExit(3)` ended with exit code 3"
    assert rest[2:22] == [f"  line {number}" for number in range(10, 30)]
    assert rest[22] == f"hint: the whole log: {tmp_path}/out/finetune/log"


@pytest.mark.parametrize(
    ("end", "words", "hint"),
    [
        ("stage", "its job failed in what goes before or after the command", "hint: the end of its log says why: builder logs r finetune"),
        ("memory", "out of memory", "hint: give it more: [launch.finetune.pod] memory"),
        ("timeout", "its time was up", "hint: give it more time: [launch.finetune] timeout"),
        ("killed", "killed by a signal", None),
        ("failed", None, None),
    ],
)
def test_each_end_in_words_with_what_to_do(end: str, words: str | None, hint: str | None) -> None:
    lines = explain("r", {"run": {**RUN, "state": "failed"}, "start": START, "finetune": failed(end, "r: step finetune failed: it broke")})
    how = f": {words}" if words else ""
    assert lines == [f"r failed in step finetune{how} after 2 min 04 s", "it broke", *([hint] if hint else [])]


def test_what_died_before_it_could_say_why_is_told_by_argo() -> None:
    ended = record("failed", at="evaluate", end="memory", error="evaluate(0:click): OOMKilled (exit code 137)")
    told = explanation_of("r", {"start": START, "evaluate-click": record("running"), "exit": ended})
    assert (told.step, told.end, told.error) == ("evaluate-click", "out of memory", "evaluate(0:click): OOMKilled (exit code 137)")
    assert told.hint == "give it more: [launch.evaluate-click.pod] memory"


def test_the_step_that_failed_first_counts() -> None:
    late = {**failed("exit:1", "late"), "ended": "2024-05-01T09:00:00Z"}
    told = explanation_of("r", {"evaluate-a": late, "evaluate-b": failed("exit:2", "soon"), "run": {**RUN, "state": "failed"}})
    assert (told.step, told.end, told.error) == ("evaluate-b", "exit code 2", "soon")


@pytest.mark.parametrize(
    ("records", "state", "first", "following"),
    [
        ({"run": RUN, "finetune": record("running")}, "", "r is running: step finetune", "builder logs r -f"),
        ({"run": RUN, "finetune": record("waiting", tries=2)}, "", "r is running: step finetune, tried 2 times", "builder logs r -f"),
        ({"run": {**RUN, "state": "submitted"}}, "", "r is submitted", "builder logs r -f"),
        ({"run": {**RUN, "state": "stopped"}}, "", "r was stopped", "builder retry r"),
        ({"run": RUN, "end": record("succeeded")}, "", "r succeeded", "builder compare r"),
        (
            {"run": RUN, "finetune": record("running")},
            "lost",
            f"r is lost in step finetune: {GONE}",
            "builder retry r",
        ),
        ({}, "", "r is not known", ""),
    ],
)
def test_every_state_has_its_words_and_a_next_command(records: dict[str, Any], state: str, first: str, following: str) -> None:
    told = explanation_of("r", records, state)
    assert explain("r", records, state)[0].startswith(first)
    assert told.next == following


def test_a_hole_is_named_with_its_reason() -> None:
    hole = record("missing", error="no score\nmore of it", end="exit:1")
    assert (
        explain("r", {"run": RUN, "evaluate-click": hole, "end": record("succeeded")})[-1] == "it went on without evaluate-click: no score"
    )


def test_when_it_began_and_ended() -> None:
    assert started_of({"run": RUN, "start": START}) == RUN["started"]
    assert started_of({"start": START}) == START["started"], "a nightly has no starter"
    assert ended_of({"run": RUN, "start": START}) == ""
    assert ended_of({"start": START, "end": record("succeeded")}) == "2024-05-01T08:02:05Z"
    assert ended_of({"exit": {**START, "ended": "2024-05-01T09:00:00Z"}, "end": record("succeeded")}) == "2024-05-01T09:00:00Z"


def test_steps_that_began_in_the_same_second_are_told_in_their_order() -> None:
    begun = {"started": "2024-05-01T08:00:00Z", "state": "succeeded"}
    names = ["run", "end", "evaluate-b", "evaluate-a", "finetune", "start", "mine"]
    assert list(steps_of(dict.fromkeys(names, begun))) == ["start", "finetune", "mine", "evaluate-a", "evaluate-b", "end"]
    assert list(steps_of({"start": begun, "finetune": {"started": "2024-05-01T07:59:59Z"}})) == ["finetune", "start"]
