"""Tells people: by a Slack webhook, a Slack bot, or not at all. Siblings with the same verb."""

from builder.notify.interface import Notifier
from builder.notify.open import open_notifier
from builder.notify.thread import Thread

__all__ = ["Notifier", "Thread", "open_notifier"]
