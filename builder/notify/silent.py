"""Tells nobody."""

from __future__ import annotations


class Silent:
    """What there is while nothing is set."""

    has_threads = False

    def send(self, text: str, thread: str = "", *, loud: bool = False) -> str:  # noqa: ARG002 - the port's names
        return ""
