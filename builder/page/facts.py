"""What the page tells, at one moment. Times are seconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from builder.launch.slurm.survey import Listed
from builder.runs.history import Seen
from builder.watch.news import Open


@dataclass(frozen=True, slots=True)
class Commit:
    """`refs` are the names that git has for it (`main`, `tag: v1`). Of one that only an image or a run tells of, author and subject may
    be empty, and `date` is the image's, or that of its first run.
    """

    sha: str
    date: float
    author: str = ""
    subject: str = ""
    refs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """`size` in bytes as stored; `kind` is base, deps, tool or code; `new`: no image of an older commit of the page has it."""

    kind: str
    title: str
    size: int
    new: bool


@dataclass(frozen=True, slots=True)
class Image:
    """What the plain tag of a commit names. `config`: the bytes of its configuration, which names the commit and is no other image's."""

    digest: str
    layers: tuple[Layer, ...]
    config: int = 0

    @property
    def size(self) -> int:
        return sum(layer.size for layer in self.layers) + self.config

    @property
    def new(self) -> int:
        """As `builder image` counts it."""
        return sum(layer.size for layer in self.layers if layer.new) + self.config


@dataclass(frozen=True, slots=True)
class Images:
    """By commit. `tagged` counts those that the store has, of which `by_commit` holds only the newest; `name` stands before a digest."""

    by_commit: Mapping[str, Image] = field(default_factory=dict)
    tagged: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Day:
    """Of a schedule: its runs that began on that day (`YYYY-MM-DD` in the schedule's time zone), the first first.

    `state` is that of the last; `missed` when one was due and none began; empty when nothing was to begin.
    """

    date: str
    state: str
    runs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Nights:
    """A schedule, day by day, the oldest first. `last` is when Argo started it last, of flows that write no records, too."""

    schedule: str
    flow: str
    cron: str
    timezone: str
    days: tuple[Day, ...]
    paused: bool = False
    last: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job of Slurm, and the bastion that knows it."""

    cluster: str
    job: Listed


@dataclass(frozen=True, slots=True)
class Facts:
    """`curves` are losses by step, by run; `found` is what is wrong now, with when it was seen first; `looked` when watch looked last (as
    the ledger writes times), empty when it never did. `notes` say what could not be asked, and why.
    """

    made: float
    name: str
    root: str
    commits: tuple[Commit, ...] = ()
    images: Images = field(default_factory=Images)
    runs: tuple[Seen, ...] = ()
    curves: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    nights: tuple[Nights, ...] = ()
    jobs: tuple[Job, ...] = ()
    found: tuple[Open, ...] = ()
    looked: str = ""
    notes: tuple[str, ...] = ()
