"""What people are told of a run, when, and what becomes of a step when they cannot be told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.errors import LaunchError
from builder.model.run import RunResult
from builder.settings import ErrorSettings, FlowSettings, NotifySettings
from builder.steps import exit as handler
from builder.steps import notices, patience, wording
from builder.steps.perform import perform
from builder.steps.request import Origin, Request, Task
from builder.steps.root import ledger_of, objects_of
from builder.steps.stopping import ask_to_stop
from tests.fixtures.requests import request_in
from tests.fixtures.slack import CHANNEL, HOOK, POST, TOKEN, Slack, slack_on

RULES = {
    "finetune": ErrorSettings(notify="<@U012ABC>"),
    "evaluate": ErrorSettings(retry=1, on=("failed", "lost"), backoff="0s", otherwise="continue"),
}


EXACTLY = f"commit `{'a' * 12}` | image `{'0' * 12}`"


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slack]:
    with slack_on("127.0.0.1") as slack:
        monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
        monkeypatch.setenv("SLACK_WEBHOOK_URL", slack.hook)
        yield slack
        for thread in threading.enumerate():  # what a test did not wait for must not reach into the next one
            if thread.name == patience.NAME:
                thread.join(10)


def a_request(tmp_path: Path, slack: Slack, **notify: Any) -> Request:
    settings = NotifySettings(**{"slack": True, "channel": CHANNEL, "api": slack.api, **notify})
    links = {"argo": "https://argo.test/{namespace}/{workflow}"}
    origin = Origin(who="ada", main=True)
    request = request_in(tmp_path, FlowSettings(errors=RULES), notify=settings, links=links, namespace="team", on="argo", origin=origin)
    return replace(request, subject="Stop <sooner>")


def step(request: Request, name: str, error: str = "", attempt: int = 0, **facts: Any) -> None:
    """A step that ends well with these facts, or badly."""

    def work(known: dict[str, Any]) -> int:
        known.update(facts)
        if error:
            raise LaunchError(error, "mend it", "exit:3")
        return 7

    try:
        perform(Task(request, attempt), name, int, work, (lambda _: -1) if name.startswith("evaluate") else None)
    except LaunchError:
        assert error


def test_the_messages_of_a_run_are_one_thread_in_order(tmp_path: Path, slack: Slack) -> None:
    request = a_request(tmp_path, slack)
    step(request, "start")
    step(request, "finetune", seconds=62.4, loss=0.25)
    step(request, "evaluate-click", seconds=1.5, score=0.5)
    report = RunResult("run-1", "finetune", "a" * 40, "r@sha256:0", "succeeded", loss=0.25, scores={"click": 0.5}, seconds=70.0)
    notices.of_end(request, report, ledger_of(request).read("run-1"))
    starts = [text.split(" - ")[0].splitlines()[0] for text in slack.texts]
    assert starts == [
        ":arrow_forward: *finetune@aaaaaaa* started on argo by ada",
        ":white_check_mark: *start* succeeded",
        ":arrow_forward: *finetune* started",
        ":white_check_mark: *finetune* succeeded in 1 min 02 s: loss 0.2500",
        ":arrow_forward: *evaluate-click* started",
        ":white_check_mark: *evaluate-click* succeeded in 1.5 s: score 0.5000",
        ":white_check_mark: *finetune@aaaaaaa* succeeded in 1 min 10 s",
    ]
    first, *rest = slack.messages
    assert first.text.splitlines()[1:] == ["_Stop &lt;sooner&gt;_", "`run-1` | <https://argo.test/team/run-1|argo>", EXACTLY]
    assert all(f"{EXACTLY} | <https://argo.test/team/run-1|argo>" in message.text for message in rest[:-1])
    assert {message.thread for message in rest} == {first.ts}
    assert [message.loud for message in rest] == [False] * 5 + [True]


def test_a_failure_says_why_with_the_end_of_the_log_and_mentions_people(tmp_path: Path, slack: Slack) -> None:
    step(a_request(tmp_path, slack), "finetune", "run-1: it failed; its last lines:\n  a < b & ``` <!channel>")
    failed = slack.messages[-1]
    assert failed.text.splitlines()[0] == ":x: *finetune* failed: exit code 3 - finetune@aaaaaaa, run-1 <@U012ABC>"
    assert "```\nrun-1: it failed\n  a &lt; b &amp;" in failed.text
    assert failed.text.count("```") == 2
    assert "<!channel>" not in failed.text
    assert "\nmend it\n" in failed.text
    assert failed.loud


def test_a_step_that_is_tried_again_is_told_once(tmp_path: Path, slack: Slack) -> None:
    step(a_request(tmp_path, slack), "evaluate-click", "it failed")
    assert [text.split(" - ")[0] for text in slack.texts] == [
        ":arrow_forward: *evaluate-click* started",
        ":x: *evaluate-click* failed, the run goes on without it",
    ]


def test_a_new_pod_of_a_step_is_no_news(tmp_path: Path, slack: Slack) -> None:
    step(a_request(tmp_path, slack), "evaluate-click", attempt=1)
    assert [text.split(" - ")[0] for text in slack.texts] == [":white_check_mark: *evaluate-click* succeeded, at try 2"]


def test_what_an_earlier_run_did_is_no_news(tmp_path: Path, slack: Slack) -> None:
    request = a_request(tmp_path, slack)
    step(replace(request, notify=NotifySettings()), "finetune")
    again = replace(request, run="run-2", origin=Origin(retried="run-1", redo="join"))
    step(again, "finetune")
    assert ledger_of(again).read("run-2")["finetune"]["kept"] == "run-1"
    assert slack.texts == []


def test_nothing_is_told_by_default(tmp_path: Path, slack: Slack) -> None:
    step(replace(a_request(tmp_path, slack), notify=NotifySettings(api=slack.api)), "start")
    assert slack.calls == 0


@pytest.mark.parametrize(
    ("notify", "told"),
    [
        ({"on": ()}, []),
        ({"on": ("failed",)}, ["evaluate-click", "finetune"]),
        ({"on": ("succeeded",), "steps": ("run", "freeze")}, ["freeze", "finetune@aaaaaaa"]),
        ({"on": ("started",), "steps": ("run",)}, ["finetune@aaaaaaa"]),
        ({"steps": ("evaluate",)}, ["evaluate-click"] * 2),
    ],
)
def test_the_settings_say_what_is_told(tmp_path: Path, slack: Slack, notify: dict[str, Any], told: list[str]) -> None:
    request = a_request(tmp_path, slack, **notify)
    step(request, "start")
    step(request, "freeze")
    step(request, "evaluate-click", "it failed")
    step(request, "finetune", "it failed")
    notices.of_end(request, RunResult("run-1", "finetune", "a" * 40, "", "succeeded"), {})
    assert [text.split("*")[1] for text in slack.texts] == told


def test_the_end_says_what_came_of_it_and_what_exactly_ran(tmp_path: Path, slack: Slack) -> None:
    baseline = {"run": "run-0", "commit": "b" * 40, "scores": {"click": 0.4}, "loss": 0.5}
    result = RunResult(
        run="run-1",
        flow="finetune",
        commit="a" * 40,
        reference="registry.test/x@sha256:00",
        state="succeeded",
        config="sha256:c0",
        checkpoint="sha256:c4",
        loss=0.25,
        scores={"click": 0.5, "scroll": None},
        holes={"scroll": "it ended\nbadly"},
        baseline=baseline,
        links={"report": "s3://bucket/runs/run-1/report.md", "argo": "https://argo.test/x"},
    )
    notices.of_end(a_request(tmp_path, slack), result, {})
    (text,) = slack.texts
    assert "loss       0.2500    -0.2500\nclick      0.5000    +0.1000\nscroll          -" in text
    assert "*scroll* has no score: it ended\n" in text
    for part in (
        "image: `registry.test/x@sha256:00`",
        "configuration: `sha256:c0`",
        "checkpoint: `sha256:c4`",
        "`run-0` at `bbbbbbbbbbbb`",
    ):
        assert part in text
    assert text.endswith("`run-1` | report: `s3://bucket/runs/run-1/report.md` | <https://argo.test/x|argo>")


def test_a_webhook_tells_the_same_without_threads(tmp_path: Path, slack: Slack) -> None:
    request = a_request(tmp_path, slack, channel="")
    step(request, "start")
    assert [text.split("*")[1] for text in slack.texts] == ["finetune@aaaaaaa", "start"]
    assert {message.thread for message in slack.messages} == {""}


def test_the_end_of_the_log_is_told_once(tmp_path: Path, slack: Slack) -> None:
    def end(**notify: Any) -> str:
        request = a_request(tmp_path, slack, **notify)
        step(request, "finetune", "run-1: step finetune failed: it did; its last lines:\n  the last line")
        notices.of_end(request, RunResult("run-1", "finetune", "a" * 40, "", "failed"), ledger_of(request).read("run-1"))
        return slack.texts[-1]

    assert "```\nit did\n```" in end()
    assert "```\nit did\n  the last line\n```" in end(steps=("run",))


def test_many_that_see_a_step_end_tell_it_once(tmp_path: Path, slack: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a team's own flow: every pod writes down what became of the steps before it."""
    request = a_request(tmp_path, slack)
    for _ in range(3):
        monkeypatch.setattr(notices, "_ASKED", set())  # as in a process of its own
        notices.once_of_step(request, "start", {"state": "succeeded"})
        notices.once_of_step(request, "work", {"state": "running"})
    notices.once_of_step(request, "work", {"state": "failed", "error": "it failed", "ended": "2024-05-01T08:00:00Z"})
    assert [text.split("*")[1] for text in slack.texts] == ["finetune@aaaaaaa", "start", "work", "work"]


class TestTrouble:
    @pytest.mark.parametrize("trouble", [500, 404, 2.0])
    @pytest.mark.parametrize("path", [POST, HOOK])
    def test_it_neither_fails_nor_holds_up_a_step(
        self, tmp_path: Path, slack: Slack, trouble: float, path: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(notices, "_PATIENCE", 0.5)
        slack.trouble[path] = trouble
        request = a_request(tmp_path, slack, channel=CHANNEL if path == POST else "")
        began = time.monotonic()
        step(request, "join")
        assert time.monotonic() - began < 2.5
        assert ledger_of(request).read("run-1")["join"]["state"] == "succeeded"
        said = capfd.readouterr()
        assert "builder: nobody was told: " in said.err
        assert "secret" not in said.err.replace("with the secret", "")

    def test_an_error_of_its_own_is_named_without_its_text(
        self, tmp_path: Path, slack: Slack, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def broken(*_: object) -> str:
            raise RuntimeError(slack.hook)

        monkeypatch.setattr(wording, "of_step", broken)
        step(a_request(tmp_path, slack), "join")
        assert capfd.readouterr().err == "builder: nobody was told: RuntimeError\n" * 2

    def test_nothing_secret_is_kept(self, tmp_path: Path, slack: Slack) -> None:
        request = a_request(tmp_path, slack)
        step(request, "finetune", "it failed")
        kept = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
        assert b"secret-of-the-tests" not in kept
        assert "secret-of-the-tests" not in str(request.to_json())


class TestTheExitHandler:
    """Of what died before it could say why."""

    def environment(self, request: Request, failures: str, status: str = "Failed") -> dict[str, str]:
        told = {"BUILDER_RUN": "run-1", "BUILDER_STATUS": status, "BUILDER_FAILURES": failures}
        return {**told, "BUILDER_REQUEST": request.pack(), "BUILDER_STARTED": "2024-05-01T08:00:00Z"}

    def test_a_pod_that_was_killed_for_want_of_memory(self, tmp_path: Path, slack: Slack) -> None:
        request = a_request(tmp_path, slack)
        step(request, "start")
        failures = '[{"displayName": "finetune", "templateName": "finetune", "message": "main: OOMKilled (exit code 137)", "podName": "p"}]'
        handler.main(self.environment(request, failures))
        record = ledger_of(request).read("run-1")["exit"]
        assert (record["state"], record["end"], record["at"]) == ("failed", "memory", "finetune")
        last = slack.messages[-1]
        assert last.text.startswith(":x: *finetune@aaaaaaa* failed in step finetune: out of memory in ")
        assert last.text.splitlines()[0].endswith(" <@U012ABC>")
        assert "its pod was killed: out of memory, it had 2Gi" in last.text
        assert "more: `builder show run-1`, next: `builder retry run-1`" in last.text
        assert last.thread == slack.messages[0].ts

    def test_a_run_that_somebody_stopped(self, tmp_path: Path, slack: Slack) -> None:
        request = a_request(tmp_path, slack)
        step(request, "start")
        ask_to_stop(objects_of(request), "run-1", "ada")
        handler.main(self.environment(request, "[]", "Stopped"))
        assert slack.texts[-1].splitlines()[0].startswith(":x: *finetune@aaaaaaa* stopped by ada in ")

    def test_what_the_step_said_is_better(self, tmp_path: Path, slack: Slack) -> None:
        request = a_request(tmp_path, slack)
        step(request, "finetune", "run-1: it ended with exit code 3")
        handler.main(self.environment(request, '[{"displayName": "finetune", "message": "main: Error (exit code 1)", "podName": "p"}]'))
        record = ledger_of(request).read("run-1")["exit"]
        assert (record["error"], record["at"]) == ("run-1: it ended with exit code 3", "finetune")

    def test_a_run_that_succeeded(self, tmp_path: Path, slack: Slack) -> None:
        request = a_request(tmp_path, slack)
        result = RunResult("run-1", "finetune", "a" * 40, "r", "succeeded", scores={"click": 0.5}, loss=0.1)
        ledger_of(request).write("run-1", "end", {"state": "succeeded", "result": result.to_json()})
        handler.main(self.environment(request, "{{workflow.failures}}", "Succeeded"))
        assert "click     0.5000" in slack.texts[-1]
