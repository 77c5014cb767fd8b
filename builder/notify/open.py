"""From the settings and the environment to who is told."""

from __future__ import annotations

from collections.abc import Mapping

from builder.errors import NotifyError
from builder.notify.bot import Bot
from builder.notify.interface import Notifier
from builder.notify.silent import Silent
from builder.notify.webhook import Webhook
from builder.settings import NotifySettings


def open_notifier(settings: NotifySettings, environ: Mapping[str, str]) -> Notifier:
    """A bot where there is a token and a channel, else a webhook; Silent while messages are off. Nothing is sent yet.

    Raises NotifyError when messages are on, and neither secret is in the environment.
    """
    if not settings.slack:
        return Silent()
    token, url = (environ.get(name, "").strip() for name in (settings.token_env, settings.webhook_env))
    if token and settings.channel:
        return Bot(token, settings.channel, settings.api)
    if url:
        return Webhook(url, settings.api)
    missing = "[notify] channel is not set" if token else f"neither ${settings.webhook_env} nor ${settings.token_env} is set"
    raise NotifyError(f"[notify] slack is on, but {missing}", "in pods the secret that [notify] secret names brings them")
