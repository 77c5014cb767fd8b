"""What both ways to Slack share: how slack_sdk is set up, and what is said of its errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any

from builder.errors import NotifyError

TIMEOUT = 4  # seconds; a whole number, as slack_sdk has it


def options() -> dict[str, Any]:
    """Arguments of slack_sdk's clients. Their logger writes the URL, which is the secret of a webhook, into its errors: it is silent.

    A message is sent again only when Slack asks for it: then the first one did not arrive.
    https://docs.slack.dev/apis/web-api/rate-limits/
    """
    from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

    quiet = logging.Logger("builder.notify", level=logging.CRITICAL + 1)
    return {"timeout": TIMEOUT, "logger": quiet, "retry_handlers": [RateLimitErrorRetryHandler(max_retry_count=1)]}


@contextmanager
def translated() -> Iterator[None]:
    """Errors of slack_sdk and urllib as ours. Their texts may hold the URL, so only what is known to be harmless is repeated."""
    from slack_sdk.errors import SlackApiError, SlackClientError

    try:
        yield
    except SlackApiError as error:
        raise refused(str(error.response.get("error")), error.response.status_code) from None
    except (SlackClientError, HTTPException, OSError, ValueError) as error:
        raise NotifyError(f"Slack cannot be reached: {_harmless(error)}", "look at [notify] in the settings") from None


def refused(code: str, status: int) -> NotifyError:
    """`code` is Slack's own word, such as `channel_not_found`: https://docs.slack.dev/reference/methods/chat.postMessage#errors"""
    return NotifyError(f"Slack says {code[:80]} ({status})", "look at [notify] in the settings, and at the variable with the secret")


def _harmless(error: Exception) -> str:
    """Connection errors say the kind of trouble; anything else may quote what it was given."""
    reason = getattr(error, "reason", error)
    return reason.strerror or type(reason).__name__ if isinstance(reason, OSError) else type(error).__name__
