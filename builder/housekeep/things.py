"""What there is that might go, and what may need it. Times are seconds since 1970 by the clock of whoever keeps the thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LEDGER = "the data root"


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of things. `setting` is the key of [housekeep] that says after how long they go.

    On Slurm's side `folder` is where they lie, below the root, and `depth` how deep one looks for their last change; `of` is what find(1)
    calls them: `d` directories, `f` files. `holds`: living jobs may use them, whoever submitted these.
    """

    name: str
    setting: str
    folder: str = ""
    of: str = "d"
    depth: int = 1
    holds: bool = False


WORKFLOW, TEMPLATE = Kind("workflow", "workflows"), Kind("template", "templates")
JOBS = Kind("files of jobs", "jobs", "runs", depth=3)
CODE, LAYER = Kind("code", "code", "code", holds=True), Kind("layer of code", "code", "code/layers", holds=True)
TOOL, TOOL_LAYER = Kind("tool of jobs", "code", "tools", holds=True), Kind("layer of a tool", "code", "tools/layers", holds=True)
LAYERS = (LAYER, TOOL_LAYER)
IMAGES = tuple(Kind("image", "images", folder, of, holds=True) for folder, of in (("sqsh", "f"), ("sif", "f"), ("charliecloud", "d")))
ON_SLURM = (JOBS, CODE, LAYER, TOOL, TOOL_LAYER, *IMAGES)
"""What lies below a root; whoever adds a folder there adds it here."""


@dataclass(frozen=True, slots=True)
class Thing:
    """`place` is where it is: a namespace, or `bastion:root`; `used` its last use, or change, and `stamp` what a change of it would change.

    `run` and `commit` are those that it belongs to; `linked`: others share its files; `leftover` that it was half made, or half removed.
    """

    kind: Kind
    place: str
    name: str
    used: float
    stamp: str = ""
    run: str = ""
    commit: str = ""
    linked: bool = False
    leftover: bool = False


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs of a cluster that wait or run, whoever's: the runs that their names begin with, and when the oldest was submitted."""

    runs: frozenset[str] = frozenset()
    oldest: float | None = None


@dataclass(frozen=True, slots=True)
class World:
    """`now` by place. `open_runs` are those whose end the ledger does not have; `commits` and `templates` say what needs them.

    `jobs` by place; `unseen` says of each place that could not be asked why: what is there stays.
    """

    now: Mapping[str, float]
    things: tuple[Thing, ...] = ()
    open_runs: frozenset[str] = frozenset()
    commits: Mapping[str, str] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)
    jobs: Mapping[str, Jobs] = field(default_factory=dict)
    unseen: Mapping[str, str] = field(default_factory=dict)
