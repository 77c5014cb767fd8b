"""The port to people: a message that somebody reads."""

from __future__ import annotations

from typing import Protocol


class Notifier(Protocol):
    """Sends messages, in Slack's markup (`text.escaped` makes any text fit for it).

    All raise NotifyError, which says nothing that is secret. Nothing is sent twice.
    """

    @property
    def has_threads(self) -> bool:
        """Whether a message can be an answer to an earlier one."""

    def send(self, text: str, thread: str = "", *, loud: bool = False) -> str:
        """Sends a message, as an answer in `thread` unless that is empty. What `thread` is for answers to it; empty without threads.

        `loud`: an answer that the whole channel sees, too.
        """
