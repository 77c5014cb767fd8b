"""Where things lie, and who is asked what it needs: opened once, for all kinds of things."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property

from builder.cluster.interface import WideCluster
from builder.collect.needs import Needs
from builder.collect.sources import read_needs
from builder.data.interface import Objects
from builder.data.ledger import Ledger
from builder.image.prepare import Workshop
from builder.settings import Settings
from builder.settings.keeping import kept_since
from builder.source.repository import Git
from builder.stores.interface import Store

Tell = Callable[[str], object]


@dataclass
class Scene:
    """`connect` gives the cluster of a context (empty: that of [deploy]) and a namespace (empty: likewise). `keep_days`, `keep_last` and
    `now` (seconds since 1970) are the options' and the clock's. `workshop` knows of what images are made. `dry`: nothing at all is
    written. `tell` hears what goes on, `warn` what is doubtful. `kinds` are all that are looked at. `unknown`: images of commits that the
    clone does not know may go, too.
    """

    settings: Settings
    git: Git
    store: Store
    objects: Objects
    ledger: Ledger
    connect: Callable[[str, str], WideCluster]
    keep_days: int
    keep_last: int
    workshop: Workshop
    dry: bool = False
    tell: Tell = lambda _: None
    warn: Tell = lambda _: None
    kinds: Collection[str] = ()
    now: float = field(default_factory=time.time)
    unknown: bool = False

    @property
    def since(self) -> float:
        """What is younger than this stays."""
        return kept_since(self.keep_days, self.now)

    @cached_property
    def needs(self) -> Needs:
        """What every source needs. Raises BuilderError, naming the source, when one cannot be read."""
        return read_needs(self)

    def needs_now(self) -> Needs:
        """What those need that change from one moment to the next, asked anew, with what was needed before."""
        return Needs().and_those([read_needs(self, quick=True), self.needs])
