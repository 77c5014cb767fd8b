"""What the flows that look after all others ask: watch and housekeep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from builder.cluster.interface import Cluster
from builder.data.interface import Objects
from builder.data.ledger import Ledger, Warn
from builder.settings import Settings


@dataclass(frozen=True, slots=True)
class Sources:
    """Where things lie, and who knows what needs them. `connect` gives the cluster of the settings."""

    settings: Settings
    objects: Objects
    ledger: Ledger
    connect: Callable[[], Cluster]
    warn: Warn = lambda _: None
