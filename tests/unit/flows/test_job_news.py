"""What is known, and told, of a step's job in Slurm while it waits for its turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.launch.slurm.states import JobState
from builder.runs.history import Seen
from builder.settings import LaunchSettings, NotifySettings, SlurmSettings
from builder.steps import job_news, notices
from builder.steps.job_news import JobNews
from builder.steps.jobs import in_words, jobs_of
from builder.steps.request import Request
from builder.steps.root import ledger_of
from tests.fixtures.requests import request_in
from tests.fixtures.slack import CHANNEL, TOKEN, Slack, slack_on

NAME = "run-1.finetune-a1"
WAITS = JobState("7", NAME, "PENDING", "Priority", "2026-01-01T10:00:00", partition="gpu", place=3, waiting=17)
RUNS = JobState("7", NAME, "RUNNING", nodes="n[1-4]", partition="gpu")


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slack]:
    monkeypatch.setattr(notices, "_ASKED", set())  # of this process
    with slack_on("127.0.0.1") as slack:
        monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
        yield slack


@pytest.fixture
def request_(tmp_path: Path, slack: Slack) -> Request:
    launch = {"finetune": LaunchSettings("slurm", slurm=SlurmSettings(bastion="login"))}
    notify = NotifySettings(slack=True, channel=CHANNEL, api=slack.api)
    request = request_in(tmp_path, launch=launch, notify=notify, links={"slurm log": "https://logs.test/{job}"})
    ledger_of(request).write("run-1", "start", {"state": "succeeded", "config": f"sha256:{'c' * 64}"})
    ledger_of(request).write("run-1", "finetune", {"state": "running", "tries": 1, "log": "/out/log"})
    return request


@pytest.fixture
def hear(request_: Request, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    clock = [0.0]
    monkeypatch.setattr(job_news.time, "monotonic", lambda: clock[0])
    news, facts = [], {"tries": 1, "log": "/out/log"}

    def heard(job: JobState, after: float = 0.0, *, pod: bool = False) -> dict[str, Any]:
        if pod or not news:
            news.append(JobNews(request_, "finetune", facts))
        clock[0] += after
        news[-1].heard(job, "/shared/log")
        return ledger_of(request_).read("run-1")["finetune"]

    return heard


def test_how_a_job_stands_in_words() -> None:
    def words(job: JobState) -> str:
        return in_words(job_news.record_of(job, "login", "/log"))

    assert words(WAITS) == "job 7 waits in gpu, place 3 of 17 (Priority), starts about 2026-01-01T10:00:00"
    assert words(RUNS) == "job 7 runs on n[1-4]"
    assert words(replace(RUNS, state="NODE_FAIL")) == "job 7 ran on n[1-4]: NODE_FAIL"
    assert words(JobState("", NAME, "PENDING", "gpu has 4 nodes")) == "its job waits (gpu has 4 nodes)"


def test_the_ledger_has_it_and_status_shows_it(hear: Callable[..., dict[str, Any]], request_: Request) -> None:
    record = hear(WAITS)
    assert (record["state"], record["log"], record["job"]["place"], record["job"]["cluster"]) == ("running", "/out/log", 3, "login")
    assert record["links"] == {"slurm log": "https://logs.test/7"}
    seen = Seen.of("run-1", ledger_of(request_).read("run-1"))
    assert seen.detail == "finetune: job 7 waits in gpu, place 3 of 17 (Priority), starts about 2026-01-01T10:00:00"
    hear(RUNS)
    assert Seen.of("run-1", ledger_of(request_).read("run-1")).detail == ""


def test_a_job_that_slurm_has_forgotten_keeps_its_number(hear: Callable[..., dict[str, Any]]) -> None:
    hear(RUNS)
    job = hear(JobState("", NAME, "COMPLETED"))["job"]
    assert (job["id"], job["nodes"], job["state"]) == ("7", "n[1-4]", "COMPLETED")
    assert hear(JobState("", "run-1.finetune-a2", "PENDING", "gpu has 4 nodes"))["job"]["id"] == "", "another attempt"


def test_a_job_that_is_not_submitted_yet_has_no_number(hear: Callable[..., dict[str, Any]], slack: Slack, request_: Request) -> None:
    waits = JobState("", NAME, "PENDING", "partition gpu can never give nodes = 32")
    assert hear(waits)["links"] == {}
    hear(waits, 61)
    (text,) = slack.texts
    assert "its job waits (partition gpu can never give nodes = 32)" in text
    assert "job ``" not in text
    assert jobs_of(ledger_of(request_).read("run-1")) == {}


def test_people_are_told_once_that_it_waits_and_then_that_it_runs(hear: Callable[..., dict[str, Any]], slack: Slack) -> None:
    hear(WAITS)
    hear(replace(WAITS, place=2), 59)
    assert slack.texts == [], "it may start any moment"
    hear(replace(WAITS, place=2), 2)
    hear(replace(WAITS, place=1, reason="Resources"), 600)
    hear(RUNS, 1)
    hear(RUNS, 100)
    waits = "job 7 waits in gpu, place 2 of 17 (Priority), starts about 2026-01-01T10:00:00"
    heads = [text.splitlines()[0] for text in slack.texts]
    assert heads == [
        f":hourglass_flowing_sand: *finetune*: {waits} - finetune@aaaaaaa, run-1",
        ":arrow_forward: *finetune*: job 7 runs on n[1-4] - finetune@aaaaaaa, run-1",
    ]
    exactly = [f"commit `{'a' * 12}`", f"image `{'0' * 12}`", f"config `{'c' * 12}`", "job `7` on login", "<https://logs.test/7|slurm log>"]
    assert all(text.splitlines()[1] == " | ".join([*exactly, "log `builder logs run-1 finetune`"]) for text in slack.texts)


def test_a_reason_that_somebody_must_look_after_is_told_anew(hear: Callable[..., dict[str, Any]], slack: Slack) -> None:
    hear(WAITS, 0)
    hear(WAITS, 61)
    hostile = "ReqNodeNotAvail, UnavailableNodes:n3 <!channel> | `x`"
    hear(replace(WAITS, reason=hostile))
    hear(replace(WAITS, reason="ReqNodeNotAvail, UnavailableNodes:n[3-4]"))
    hear(replace(WAITS, reason=hostile), pod=True)
    hear(replace(WAITS, reason=hostile), 61)
    assert len(slack.texts) == 2
    assert "&lt;!channel&gt;" in slack.texts[1]
    assert "<!channel>" not in slack.texts[1]
    for number in range(9):
        hear(replace(WAITS, reason=f"Odd{number}"), 61)
    assert len(slack.texts) <= 6, "a queue that changes its mind all the time"


def test_a_job_that_starts_at_once_is_no_news(hear: Callable[..., dict[str, Any]], slack: Slack) -> None:
    hear(WAITS)
    hear(RUNS, 10)
    hear(RUNS, 100)
    assert slack.texts == []
