"""A step is done, again, without, or not at all: as the settings say; and the ledger says which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.data.directory import DirectoryObjects
from builder.data.ledger import Ledger
from builder.errors import BuilderError, LaunchError
from builder.settings import ErrorSettings, FlowSettings
from builder.steps import perform as module
from builder.steps.order import STEPS, comes_from
from builder.steps.perform import Facts, Failure, matches, perform
from builder.steps.request import Origin, Task
from tests.fixtures.requests import request_in


class Work:
    """Fails with each of the ends in turn, then gives 7."""

    def __init__(self, *ends: str) -> None:
        self.ends = list(ends)
        self.done = 0

    def __call__(self, facts: Facts) -> int:
        self.done += 1
        facts["seen"] = self.done
        if self.ends:
            end = self.ends.pop(0)
            raise LaunchError(f"it ended: {end}", "mend it", end)
        return 7


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each wait would have been."""
    waited: list[float] = []
    monkeypatch.setattr(module.time, "sleep", waited.append)
    return waited


def task(tmp_path: Path, rule: ErrorSettings | None = None, attempt: int = 0, **origin: str) -> Task:
    settings = FlowSettings(errors={"evaluate": rule} if rule else {})
    return Task(replace(request_in(tmp_path, settings), origin=Origin(**origin)), attempt)  # type: ignore[arg-type]


def record(tmp_path: Path, step: str = "evaluate-click", run: str = "run-1") -> dict[str, Any]:
    return Ledger(DirectoryObjects(tmp_path / "data")).read(run)[step]


def no_instead(_: Failure) -> int:
    return -1


def test_a_step_that_succeeds_keeps_its_facts_and_its_result(tmp_path: Path) -> None:
    states = []

    def work(facts: Facts) -> int:
        states.append(record(tmp_path)["state"])
        facts["loss"] = 0.5
        return 7

    assert perform(task(tmp_path), "evaluate-click", int, work, log=tmp_path / "log") == 7
    found = record(tmp_path)
    assert states == ["running"]
    assert (found["state"], found["loss"], found["result"], found["tries"]) == ("succeeded", 0.5, 7, 1)
    assert found["log"] == str(tmp_path / "log")
    assert found["ended"] >= found["started"]


@pytest.mark.parametrize(
    ("error", "message"), [(BuilderError("it broke", "mend it"), "it broke"), (ZeroDivisionError("x"), "ZeroDivisionError: x")]
)
def test_an_error_is_written_down_and_goes_on(tmp_path: Path, error: Exception, message: str) -> None:
    def work(_: Facts) -> int:
        raise error

    with pytest.raises(type(error)):
        perform(task(tmp_path), "evaluate-click", int, work)
    assert (record(tmp_path)["state"], record(tmp_path)["error"], record(tmp_path)["end"]) == ("failed", message, "failed")


def test_an_interruption_is_no_failure_to_try_again_after(tmp_path: Path) -> None:
    def work(_: Facts) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(task(tmp_path, ErrorSettings(retry=3, on=("failed", "killed"))), "evaluate-click", int, work)
    assert record(tmp_path)["state"] == "stopped"


@pytest.mark.parametrize(
    ("end", "on", "again"),
    [
        ("exit:3", ("failed",), True),
        ("exit:3", ("exit:3",), True),
        ("exit:3", ("exit:4",), False),
        ("killed", ("failed",), False),
        ("killed", ("killed", "lost"), True),
        ("timeout", ("timeout",), True),
        ("memory", ("killed",), False),
        ("stage", ("lost",), True),
        ("stage", ("stage",), True),
        ("stage", ("failed",), False),
        ("lost", ("stage",), False),
    ],
)
def test_only_the_ends_that_the_settings_list_are_forgiven(tmp_path: Path, pauses: list[float], end: str, on: Any, again: bool) -> None:
    work, rule = Work(end), ErrorSettings(retry=1, backoff="5s", on=on)
    assert matches(end, on) is again
    if again:
        assert perform(task(tmp_path, rule), "evaluate-click", int, work) == 7
        assert record(tmp_path)["tries"] == 2
    else:
        with pytest.raises(LaunchError, match=end):
            perform(task(tmp_path, rule), "evaluate-click", int, work)
    assert pauses == ([5] if again else [])


def test_the_pause_doubles_and_the_tries_end(tmp_path: Path, pauses: list[float]) -> None:
    work = Work(*["exit:1"] * 5)
    with pytest.raises(LaunchError, match="exit:1"):
        perform(task(tmp_path, ErrorSettings(retry=3, backoff="2s", on=("failed",))), "evaluate-click", int, work)
    assert (work.done, pauses) == (4, [2, 4, 8])
    assert [failure["end"] for failure in record(tmp_path)["failures"]] == ["exit:1"] * 4


@pytest.mark.parametrize("rule", [ErrorSettings(otherwise="continue"), ErrorSettings(fallback=0.25)])
def test_going_on_without(tmp_path: Path, rule: ErrorSettings) -> None:
    told: list[Failure] = []

    def instead(failure: Failure) -> int:
        told.append(failure)
        return -1

    assert perform(task(tmp_path, rule), "evaluate-click", int, Work("exit:9"), instead) == -1
    assert (told[0].end, told[0].hint) == ("exit:9", "mend it")
    found = record(tmp_path)
    assert (found["state"], found["result"], found["error"]) == ("missing", -1, "it ended: exit:9")


def test_without_leave_a_step_does_not_go_on(tmp_path: Path) -> None:
    with pytest.raises(LaunchError):
        perform(task(tmp_path), "evaluate-click", int, Work("exit:9"), no_instead)


def lose(tmp_path: Path, rule: ErrorSettings, attempt: int = 0) -> None:
    """A pod that is gone in mid-step: nothing after `running` was written."""

    class Gone(BaseException):
        pass

    ledger = Ledger(DirectoryObjects(tmp_path / "data"))

    def work(_: Facts) -> int:
        raise Gone

    with pytest.raises(Gone):
        perform(task(tmp_path, rule, attempt), "evaluate-click", int, work)
    told = ledger.read("run-1")["evaluate-click"]
    kept = {name: told[name] for name in ("commit", "host", "attempt", "started")}
    ledger.write("run-1", "evaluate-click", {**kept, "failures": told["failures"][:-1], "state": "running"})


def test_a_lost_pod_counts_as_a_try(tmp_path: Path, pauses: list[float]) -> None:
    rule = ErrorSettings(retry=2, backoff="1s")
    lose(tmp_path, rule)
    assert perform(task(tmp_path, rule, attempt=1), "evaluate-click", int, Work()) == 7
    found = record(tmp_path)
    assert (found["tries"], [failure["end"] for failure in found["failures"]]) == (2, ["lost"])


def test_a_pod_lost_before_it_wrote_anything_counts_too(tmp_path: Path, pauses: list[float]) -> None:
    work, rule = Work(), ErrorSettings(retry=1, otherwise="continue")
    assert perform(task(tmp_path, rule, attempt=2), "evaluate-click", int, work, no_instead) == -1
    assert work.done == 0, "the last attempt is there to go on without"


def test_what_was_tried_in_a_lost_pod_is_not_tried_anew(tmp_path: Path, pauses: list[float]) -> None:
    rule = ErrorSettings(retry=1, on=("failed", "lost"))
    lose(tmp_path, rule)
    work = Work("exit:1", "exit:1")
    with pytest.raises(LaunchError):
        perform(task(tmp_path, rule, attempt=1), "evaluate-click", int, work)
    assert work.done == 1


def test_a_retried_run_keeps_what_succeeded(tmp_path: Path) -> None:
    perform(task(tmp_path), "evaluate-click", int, Work())
    again = task(tmp_path, retried="run-1")
    again = replace(again, request=replace(again.request, run="run-2"))
    work = Work("exit:1")
    assert perform(again, "evaluate-click", int, work) == 7
    assert work.done == 0
    assert (record(tmp_path, run="run-2")["state"], record(tmp_path, run="run-2")["kept"]) == ("succeeded", "run-1")


@pytest.mark.parametrize("redo", ["evaluate-click", "finetune"])
def test_what_is_to_be_redone_is_not_kept(tmp_path: Path, redo: str) -> None:
    perform(task(tmp_path), "evaluate-click", int, Work())
    work = Work()
    again = task(tmp_path, retried="run-1", redo=redo)
    perform(replace(again, request=replace(again.request, run="run-2")), "evaluate-click", int, work)
    assert work.done == 1


def test_what_failed_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(LaunchError):
        perform(task(tmp_path), "evaluate-click", int, Work("exit:1"))
    work = Work()
    again = task(tmp_path, retried="run-1")
    perform(replace(again, request=replace(again.request, run="run-2")), "evaluate-click", int, work)
    assert work.done == 1


@pytest.mark.parametrize(
    ("redo", "from_it"),
    [
        ("", ()),
        ("start", STEPS),
        ("freeze", ("freeze", "evaluate-click", "evaluate-type", "join", "end")),
        ("evaluate", ("evaluate-click", "evaluate-type", "join", "end")),
        ("evaluate-click", ("evaluate-click", "join", "end")),
    ],
)
def test_what_comes_from_a_step(redo: str, from_it: tuple[str, ...]) -> None:
    steps = ("start", "finetune", "freeze", "evaluate-click", "evaluate-type", "join", "end")
    expected = [step for step in steps if step in from_it or step.partition("-")[0] in from_it]
    assert [step for step in steps if comes_from(step, redo)] == expected


def test_the_type_of_what_is_kept(tmp_path: Path) -> None:
    given: Callable[[Facts], Failure] = lambda _: Failure("exit:1", "no")  # noqa: E731
    assert perform(task(tmp_path), "evaluate-click", Failure, given) == Failure("exit:1", "no")
    again = task(tmp_path, retried="run-1")
    again = replace(again, request=replace(again.request, run="run-2"))
    assert perform(again, "evaluate-click", Failure, given) == Failure("exit:1", "no")
