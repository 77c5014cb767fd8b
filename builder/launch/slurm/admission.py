"""Whether a job may be submitted: what the partition can never give is refused here, or waited for where the settings say so.

A job that sbatch refuses leaves a failed record under its name, and an error that names neither what was asked nor what there is.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from builder.errors import LaunchError
from builder.launch.slurm.bastion import Bastion
from builder.launch.slurm.room import Lack, Room, command, lack, parse_room
from builder.settings import seconds

_SCRIPT = b"#!/bin/sh\n"
_FIRST_PAUSE, _LONGEST_PAUSE = 30.0, 600.0  # seconds between two looks at what the partition has
_NODES = ("Node count", "More processors", "configuration is not available", "feature specification")
"""In words of sbatch that mean that there are no such nodes."""


@dataclass
class Admission:
    """For the jobs of one connection: what there is, is asked for once."""

    bastion: Bastion
    _room: Room | None = None

    def admit(self, options: Sequence[str], tell: Callable[[str], None]) -> None:
        """Returns when a job with these options of sbatch can start one day; `tell` hears why it waits until then.

        Raises LaunchError, which names the partition, what was asked, and what there is.
        """
        settings = self.bastion.settings
        began, pause = time.monotonic(), _FIRST_PAUSE
        while (lacking := self._lacking(options)) is not None:
            if not (settings.wait_for_nodes and lacking.is_nodes):
                raise LaunchError(f"{self.bastion.name}: {lacking.message}", lacking.hint)
            left = seconds(settings.queue_limit) - (time.monotonic() - began) if settings.queue_limit else pause
            if left <= 0:
                hint = "[launch.STEP.slurm] queue_limit is how long a job may wait"
                raise LaunchError(f"{self.bastion.name}: waited for {settings.queue_limit}: {lacking.message}", hint, "timeout")
            tell(lacking.message)
            time.sleep(min(pause, left))
            pause, self._room = min(2 * pause, _LONGEST_PAUSE), None

    def _lacking(self, options: Sequence[str]) -> Lack | None:
        """Where nodes are waited for, sbatch itself is asked, too: features and limits that only it knows would else end the wait."""
        if self._room is None:
            self._room = parse_room(self.bastion.ask(command(self.bastion.settings)).text)
        found = lack(self._room, self.bastion.settings)
        return found or (self._refused(options) if self.bastion.settings.wait_for_nodes else None)

    def _refused(self, options: Sequence[str]) -> Lack | None:
        said = self.bastion.ask(shlex.join(["sbatch", "--test-only", *options]), _SCRIPT)
        if said.code == 0 or not any(words in said.error for words in _NODES):
            return None
        return Lack(f"sbatch: {said.error.splitlines()[-1]}", "look at [launch.STEP.slurm]", is_nodes=True)
