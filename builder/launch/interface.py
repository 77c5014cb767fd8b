"""The port that everything implements which executes a team's command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Carried:
    """What a job itself brings from the data root and takes there, so that nothing large passes through who waits for it.

    `root` is `s3://bucket/prefix`, with its endpoint and region where they are not Amazon's own. `brings` are directories below the job's
    base and the checkpoint (its digest) that is to be in each before the command begins. `takes` is the directory that is frozen when it
    has ended well, or else what `pattern` finds in the tree; then `receipt`, a file below base, says what it came to (JSON: digest, files,
    size).
    """

    root: str
    endpoint: str = ""
    region: str = ""
    brings: Mapping[Path, str] = field(default_factory=dict)
    takes: Path | None = None
    pattern: str = ""
    receipt: Path = Path()


@dataclass(frozen=True, slots=True)
class Job:
    """A command of the team's, to be executed in the commit's tree.

    `workdir` is the tree's root and the working directory; `variables` are those of the contract (BUILDER_METRICS ...);
    `log` is the file that gets what the command writes, stdout and stderr as they come; `hidden` names variables that are not its business.

    For launchers elsewhere: `inputs` and `outputs` are files and directories below `base` that the command reads, and leaves;
    `attempt` counts from 1, and makes the job's name another one. `carried` is what the job moves without them. `sought` are outputs that
    may be left elsewhere: where one is empty, it is the newest directory of the tree that the pattern matches.
    """

    name: str
    argv: tuple[str, ...]
    workdir: Path
    log: Path
    pythonpath: tuple[str, ...] = ()
    python: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    base: Path = Path("/")
    inputs: tuple[Path, ...] = ()
    outputs: tuple[Path, ...] = ()
    attempt: int = 1
    carried: Carried | None = None
    sought: Mapping[Path, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finished:
    """How a job ended: its exit code, -N when it died by signal N; `timed_out` when its time was up. `end` where the launcher knows
    better than the code says: `memory`, `lost`, `cancelled`, `timeout`, `stage`;
    `said` is then what to tell people, as in "the command ...".
    """

    code: int
    timed_out: bool = False
    end: str = ""
    said: str = ""


class Launcher(Protocol):
    """Executes jobs somewhere. All raise LaunchError. `outlives`: jobs go on when the process that waits for them ends."""

    outlives: bool

    def submit(self, job: Job) -> str:
        """Starts the job and returns the handle that the other verbs take."""

    def poll(self, handle: str, seconds: float) -> Finished | None:
        """Waits for the job's end, at most so long. None when it still runs."""

    def cancel(self, handle: str) -> None:
        """Ends the job; nothing when it has ended."""
