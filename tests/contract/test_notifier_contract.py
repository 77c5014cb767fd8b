"""Every notifier keeps these promises: the fake as well as those that speak to Slack."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.data.directory import DirectoryObjects
from builder.errors import NotifyError
from builder.notify import Notifier, Thread, open_notifier
from builder.notify.bot import Bot
from builder.notify.silent import Silent
from builder.notify.text import escaped
from builder.notify.webhook import Webhook
from builder.settings import NotifySettings
from tests.fixtures.slack import CHANNEL, HOOK, POST, TOKEN, FakeNotifier, Slack, slack_on


@dataclass(frozen=True)
class Told:
    """A notifier, and where its messages arrive. `path` is the receiver's, for one that speaks to it."""

    notifier: Notifier
    slack: Slack
    path: str

    def refuse(self) -> None:
        self.slack.trouble[self.path] = 500
        if isinstance(self.notifier, FakeNotifier):
            self.notifier.broken = True


@pytest.fixture
def slack() -> Iterator[Slack]:
    with slack_on("127.0.0.1") as slack:
        yield slack


@pytest.fixture(params=["fake", "fake without threads", "bot", "webhook"])
def told(request: pytest.FixtureRequest, slack: Slack) -> Told:
    if request.param == "bot":
        return Told(Bot(TOKEN, CHANNEL, slack.api), slack, POST)
    if request.param == "webhook":
        return Told(Webhook(slack.hook), slack, HOOK)
    return Told(FakeNotifier(slack, has_threads=request.param == "fake"), slack, "")


def test_messages_arrive_in_order(told: Told) -> None:
    for number in range(3):
        told.notifier.send(f"message {number}")
    assert told.slack.texts == ["message 0", "message 1", "message 2"]


def test_answers_stay_in_the_thread(told: Told) -> None:
    thread = told.notifier.send("first")
    assert bool(thread) == told.notifier.has_threads
    assert told.notifier.send("second", thread) == thread
    told.notifier.send("third", thread, loud=True)
    first, second, third = told.slack.messages
    expected = first.ts if told.notifier.has_threads else ""
    assert (first.thread, second.thread, third.thread) == ("", expected, expected)
    assert (second.loud, third.loud) == (False, told.notifier.has_threads)


def test_any_text_arrives_as_it_is(told: Told) -> None:
    text = 'ä ✓ "quoted" \\ %s {x} \n\t' + escaped("<!channel> & <@U1>")
    told.notifier.send(text)
    assert told.slack.texts == [text]
    assert "<" not in text


def test_a_refusal_is_an_error_without_the_secret(told: Told) -> None:
    told.refuse()
    with pytest.raises(NotifyError) as caught:
        told.notifier.send("hello")
    assert "secret" not in caught.value.message
    assert told.slack.messages == []


def test_concurrent_steps_agree_on_one_thread(told: Told, tmp_path: Path) -> None:
    """Each with its own eyes on the data root, as pods have."""
    go = threading.Barrier(6)

    def step(number: int) -> None:
        thread = Thread(told.notifier, DirectoryObjects(tmp_path), "run-1")
        go.wait()
        thread.send(f"step {number}")

    steps = [threading.Thread(target=step, args=(number,)) for number in range(6)]
    for one in steps:
        one.start()
    for one in steps:
        one.join()
    assert sorted(told.slack.texts) == [f"step {number}" for number in range(6)]
    if told.notifier.has_threads:
        first, *rest = told.slack.messages
        assert {message.thread for message in rest} == {first.ts}
        assert first.thread == ""


def test_the_next_message_begins_the_thread_where_the_first_did_not_arrive(told: Told, tmp_path: Path) -> None:
    def thread() -> Thread:
        return Thread(told.notifier, DirectoryObjects(tmp_path), "run-1")

    told.refuse()
    with pytest.raises(NotifyError):
        thread().send("first")
    told.slack.trouble.clear()
    if isinstance(told.notifier, FakeNotifier):
        told.notifier.broken = False
    began = time.monotonic()
    thread().send("second")
    thread().send("third")
    assert time.monotonic() - began < 2
    second, third = told.slack.messages
    assert third.thread == (second.ts if told.notifier.has_threads else "")


class TestSlack:
    """What only those do that speak to a server."""

    @pytest.fixture(params=["bot", "webhook"])
    def real(self, request: pytest.FixtureRequest, slack: Slack) -> Told:
        return Told(Bot(TOKEN, CHANNEL, slack.api), slack, POST) if request.param == "bot" else Told(Webhook(slack.hook), slack, HOOK)

    def test_a_message_is_sent_again_when_slack_asks_for_it(self, real: Told) -> None:
        real.slack.trouble[real.path] = 429
        real.notifier.send("hello")
        assert (real.slack.texts, real.slack.calls) == (["hello"], 2)

    def test_a_server_that_is_silent_is_left(self, real: Told, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("builder.notify.slack.TIMEOUT", 1)
        real.slack.trouble[real.path] = 3.0
        began = time.monotonic()
        with pytest.raises(NotifyError, match="Slack cannot be reached"):
            real.notifier.send("hello")
        assert time.monotonic() - began < 2.5

    def test_nobody_there(self, capfd: pytest.CaptureFixture[str]) -> None:
        for notifier in (Bot(TOKEN, CHANNEL, "http://127.0.0.1:1/api/"), Webhook(f"http://127.0.0.1:1{HOOK}")):
            with pytest.raises(NotifyError, match="Connection refused"):
                notifier.send("hello")
        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize("url", ["hooks.slack.com/secret", "ftp://x/secret", "http://[secret", "http://x y/secret", "secret"])
    def test_a_url_that_is_none_is_not_repeated(self, url: str, capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(NotifyError) as caught:
            Webhook(url).send("hello")
        said = capfd.readouterr()
        assert "secret" not in caught.value.message + said.out + said.err
        assert caught.value.__cause__ is None

    def test_a_wrong_token_or_channel(self, slack: Slack) -> None:
        with pytest.raises(NotifyError, match="Slack says invalid_auth"):
            Bot("xoxb-other", CHANNEL, slack.api).send("hello")
        with pytest.raises(NotifyError, match="Slack says channel_not_found"):
            Bot(TOKEN, "#nowhere", slack.api).send("hello")

    def test_a_webhook_that_slack_does_not_know(self, slack: Slack) -> None:
        with pytest.raises(NotifyError, match=r"Slack says no_service \(404\)"):
            Webhook(f"http://{slack.address}/services/T/B/other").send("hello")


SECRETS = {"SLACK_BOT_TOKEN": TOKEN, "SLACK_WEBHOOK_URL": f"https://hooks.slack.com{HOOK}"}


class TestOpening:
    def test_off_by_default(self) -> None:
        notifier = open_notifier(NotifySettings(), SECRETS)
        assert isinstance(notifier, Silent)
        assert notifier.send("hello") == ""

    def test_a_bot_wins_where_it_has_a_channel(self) -> None:
        assert isinstance(open_notifier(NotifySettings(slack=True, channel="#x"), SECRETS), Bot)
        assert isinstance(open_notifier(NotifySettings(slack=True), SECRETS), Webhook)

    def test_the_address_is_that_of_the_settings_for_webhooks_too(self, slack: Slack) -> None:
        open_notifier(NotifySettings(slack=True, api=slack.api), SECRETS).send("hello")
        assert slack.texts == ["hello"]

    def test_without_a_secret(self) -> None:
        with pytest.raises(NotifyError, match=r"neither \$HOOK nor \$SLACK_BOT_TOKEN is set"):
            open_notifier(NotifySettings(slack=True, webhook_env="HOOK"), {})
        with pytest.raises(NotifyError, match="channel is not set"):
            open_notifier(NotifySettings(slack=True), {"SLACK_BOT_TOKEN": TOKEN})
