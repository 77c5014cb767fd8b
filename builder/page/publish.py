"""The page in the data root."""

from __future__ import annotations

from builder.data.interface import Objects
from builder.page.facts import Facts
from builder.page.html import page
from builder.settings.keeping import PAGE


def publish(objects: Objects, facts: Facts) -> str:
    """Replaces the page that is there; gives the place of the new one. Raises DataError, AuthError."""
    objects.put(PAGE, page(facts))
    return objects.url(PAGE)
