"""The settings in force, where a step is told them."""

from __future__ import annotations

from pathlib import Path

from builder.settings import FILE, Settings, load
from builder.steps.request import Request

_NOWHERE = Path("/in-force")


def settings_of(request: Request) -> Settings:
    """Raises SettingsError. No variable stands above them: they are what was deployed."""
    text = request.in_force.encode()
    return load(_NOWHERE, {}, lambda path: text if path == _NOWHERE / FILE else None)
