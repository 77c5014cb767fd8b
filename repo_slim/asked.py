"""What one invocation asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Asked:
    """`rules` holds what flags say (None: nothing). `archive` is a directory or `s3://bucket/prefix`; empty: the one of the runs before,
    or else `default_archive`. `restart`: forget those runs first.
    """

    source: str
    work: Path
    archive: str = ""
    endpoint: str = ""
    rules: Mapping[str, Any] | None = None
    approve: str = ""
    publish_to: str = ""
    default_archive: str = ""
    restart: bool = False
