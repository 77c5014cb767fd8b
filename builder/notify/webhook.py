"""Slack by an incoming webhook: a URL that is a secret, and stands for one channel. No threads.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/
"""

from __future__ import annotations

from urllib.parse import urlsplit

from builder.notify.slack import options, refused, translated


class Webhook:
    """`api`, unless empty, is the address of a proxy or a test that stands for hooks.slack.com."""

    has_threads = False

    def __init__(self, url: str, api: str = "") -> None:
        self._url = _moved(url, api) if api else url

    def send(self, text: str, thread: str = "", *, loud: bool = False) -> str:  # noqa: ARG002 - the port's names
        from slack_sdk.webhook import WebhookClient

        with translated():
            answer = WebhookClient(self._url, **options()).send(text=text, unfurl_links=False)
        if answer.status_code != 200:
            raise refused(answer.body, answer.status_code)
        return ""


def _moved(url: str, api: str) -> str:
    there = urlsplit(api)
    return urlsplit(url)._replace(scheme=there.scheme, netloc=there.netloc).geturl()
