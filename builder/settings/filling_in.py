"""Where a flow that the settings lack is to be written."""

from __future__ import annotations

import re

from builder.settings.load import PROJECT_FILE, PROJECT_TABLE
from builder.settings.tables import Settings


def how_to_add(flow: str, settings: Settings) -> str:
    """The next thing to do. `builder init` leaves a commented table where it cannot tell the command: then with its line."""
    if settings.file is None:
        return "`builder init` writes one"
    table = f"{PROJECT_TABLE}.flow.{flow}" if settings.file.name == PROJECT_FILE else f"flow.{flow}"
    lines = settings.file.read_text(encoding="utf-8").splitlines() if settings.file.exists() else []
    commented = next((f", line {number}" for number, line in enumerate(lines, 1) if re.match(rf"#\s*\[{re.escape(table)}\]", line)), "")
    return f"fill in [{table}] in {settings.file}{commented}"
