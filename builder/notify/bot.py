"""Slack by a bot's token: messages of a run form a thread.

https://docs.slack.dev/reference/methods/chat.postMessage
"""

from __future__ import annotations

from builder.notify.slack import options, translated


class Bot:
    """Of one channel. `api`, unless empty, is where Slack's methods are instead of https://slack.com/api/."""

    has_threads = True

    def __init__(self, token: str, channel: str, api: str = "") -> None:
        self._token = token
        self._channel = channel
        self._api = api

    def send(self, text: str, thread: str = "", *, loud: bool = False) -> str:
        from slack_sdk import WebClient

        with translated():
            client = WebClient(self._token, base_url=self._api or WebClient.BASE_URL, **options())
            answer = client.chat_postMessage(
                channel=self._channel,
                text=text,
                thread_ts=thread or None,
                reply_broadcast=(loud and bool(thread)) or None,
                unfurl_links=False,
            )
        return thread or str(answer["ts"])
