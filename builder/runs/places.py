"""Where the steps of a run find the commit's tree, on each target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.errors import BuilderError
from builder.launch.behind import below
from builder.launch.here import OURS
from builder.own_folder import NAME, make_own_folder
from builder.settings import ImageSettings, Settings
from builder.steps.request import Place

WORK = "/builder-work"
"""The directory of a pod that is its own: Metaflow and the steps write there, and nothing of the team's is in it."""


@dataclass(frozen=True, slots=True)
class Directories:
    """Where this machine keeps runs: `.builder` beside the settings."""

    state: Path

    @classmethod
    def of(cls, settings: Settings) -> Directories:
        return cls(settings.root.absolute() / NAME)

    def make(self) -> None:
        make_own_folder(self.state)

    def output(self, run: str) -> Path:
        return self.state / "runs" / run


def on_this_machine(directories: Directories, run: str, image: ImageSettings, python: str) -> Place:
    """In a directory of the run's own, with the commit's files in `code`."""
    output = directories.output(run)
    return Place(str(output / "code"), str(output), below(image.pythonpath, image.workdir), python, dict(image.env))


def in_the_image(config: Mapping[str, Any], output: str, *, echo: bool) -> Place:
    """In a container of the commit's image. `config` is the image's configuration: what its environment sets of Python's own
    variables is not what the tool runs with, so it is kept for the team's commands.
    """
    inner = config.get("config") or {}
    environment = dict(line.partition("=")[::2] for line in inner.get("Env") or ())
    env = {name: value for name, value in environment.items() if name.startswith(OURS)}
    if not inner.get("WorkingDir"):
        raise BuilderError("the image has no working directory", "builder images have one: --refresh makes it again")
    return Place(str(inner["WorkingDir"]), output, env=env, echo=echo)
