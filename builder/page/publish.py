"""Where the page lies in the data root."""

from __future__ import annotations

from builder.data.interface import Found, Objects
from builder.page.facts import Facts
from builder.page.html import page

KEY = "page/index.html"


def publish(objects: Objects, facts: Facts) -> str:
    """Replaces the page that is there; gives the place of the new one. Raises DataError, AuthError."""
    objects.put(KEY, page(facts))
    return objects.url(KEY)


def published_page(objects: Objects) -> Found | None:
    """The last one, if there is one."""
    return objects.find(KEY)
