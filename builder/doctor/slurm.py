"""Whether a step would run on Slurm as the settings have it: the way there, what the partition has, and what the job needs to find."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from builder.doctor.scene import Found, Scene, failed, not_needed, ok
from builder.errors import BuilderError
from builder.launch.slurm.bastion import Bastion, Said
from builder.launch.slurm.host_key import offered
from builder.launch.slurm.room import Room, command, lack, parse_room
from builder.launch.slurm.script import options
from builder.model.units import size
from builder.settings import LaunchSettings

_PATIENCE = 5.0  # seconds
_ROOM = 10_000_000_000  # bytes: code, images and checkpoints
_VERSIONS = {
    "pyxis": "srun --help 2>&1 | grep -q -- --container-image && enroot version",
    "apptainer": "apptainer version",
    "charliecloud": "ch-run --version 2>&1",
}
_INSTALL = {
    "pyxis": "an administrator installs pyxis (a plugin of Slurm) and enroot on bastion and nodes",
    "apptainer": "an administrator installs apptainer on bastion and nodes, or `setup` loads its module",
    "charliecloud": "an administrator installs charliecloud (with ch-image) on bastion and nodes, or `setup` loads its module",
}
_OLDEST_ENROOT = 3
_NEAREST = 'd=$1; while [ ! -e "$d" ]; do d=${d%/*}; d=${d:-/}; done; echo "$d"; test -d "$d" && test -w "$d" && df -PB1 "$d"'
_QUOTA = "quota -w -p 2>/dev/null | tail -n +3"


def connected(look: Callable[[Any, Scene], Found]) -> Callable[[Any, Scene], Found]:
    """A check that needs the bastion: the check of the host key says why there is none."""

    @wraps(look)
    def looked(self: OnSlurm, scene: Scene) -> Found:
        return look(self, scene) if self.is_reached else not_needed("not looked at: there is no connection")

    return looked


class OnSlurm:
    """The checks of one step. `paths` gives what its configuration names as absolute paths, by key."""

    def __init__(self, step: str, launch: LaunchSettings, paths: Callable[[], Mapping[str, str]]) -> None:
        self._step, self._slurm, self._paths = step, launch.slurm, paths
        self._bastion = Bastion(self._slurm, _PATIENCE)
        self._room: Room | None = None
        self.is_reached = False

    def close(self) -> None:
        self._bastion.close()

    def settings(self, _: Scene) -> Found:
        missing = [name for name in ("bastion", "root") if not getattr(self._slurm, name)]
        if missing:
            return failed(f"[launch.{self._step}.slurm] has no {' and no '.join(missing)}", "the host with sbatch, and a directory there")
        return ok(f"{self._slurm.root} on {self._slurm.bastion}")

    def host_key(self, _: Scene) -> Found:
        """Whoever compares the key should have the very line to add; nobody adds it for him."""
        if not self._slurm.bastion:
            return not_needed("not looked at: there is no bastion")
        try:
            self._ask("true")
        except BuilderError as error:
            return self._unknown(error) if "host key" in error.message else failed(error.message, error.hint)
        self.is_reached = True
        known = "[launch.STEP.slurm] host_key" if self._slurm.host_key else self._slurm.known_hosts
        return ok(f"{self._slurm.bastion} lets us in, by a host key of {known}")

    def _unknown(self, error: BuilderError) -> Found:
        key = offered(self._slurm)
        if key is None:
            return failed(error.message, error.hint)
        add = f"set host_key = {key.public!r}" if self._slurm.host_key else f"add to {self._slurm.known_hosts}: {key.line}"
        return failed(
            f"{error.message}; it offers {key.fingerprint}", f"compare this with what your administrator says, and only then {add}"
        )

    @connected
    def slurm(self, _: Scene) -> Found:
        said = self._ask("sbatch --version && scontrol ping")
        if said.code != 0:
            return failed(_last(said), "does a shell that is not a login shell there have sbatch on its PATH, and is the controller up?")
        return ok(said.text.splitlines()[0])

    @connected
    def root(self, _: Scene) -> Found:
        """Whether it, or the nearest directory above it, may be written; that nodes see it only a job can tell."""
        root = self._slurm.root
        said = self._ask(f"sh -c {shlex.quote(_NEAREST)} root {shlex.quote(root)}")
        if said.code != 0:
            why = f"{said.text.strip() or root} cannot be written"
            return failed(why, "change its owner, or set [launch.STEP.slurm] root to a directory that nodes share")
        there, *_more, numbers = said.text.splitlines()
        free = int(numbers.split()[3])
        if free < _ROOM:
            return failed(f"{root}: {size(free)} free", f"make room: code, images and checkpoints need {size(_ROOM)} at least")
        return ok(f"{root} {'can be written' if there == root else 'will be made'}, {size(free)} free")

    @connected
    def quota(self, _: Scene) -> Found:
        """By quota(1), where there is one; other file systems have ways of their own."""
        rows = [line.split() for line in self._ask(_QUOTA).text.splitlines()]
        over = [row[0] for row in rows if len(row) > 2 and row[1].endswith("*")]
        if over:
            return failed(f"over the quota on {', '.join(over)}", "make room there, or ask for more")
        return ok(f"within it on {', '.join(row[0] for row in rows)}") if rows else not_needed("quota(1) tells of none there")

    @connected
    def partition(self, _: Scene) -> Found:
        found = lack(self._there(), self._slurm)
        if found is not None:
            return failed(found.message, found.hint)
        partition = self._there().partition(self._slurm.partition)
        if partition is None:
            return not_needed("Slurm does not say what there is: sbatch decides")
        return ok(f"{partition.name}: {partition.has}")

    @connected
    def gpus(self, _: Scene) -> Found:
        wanted = self._slurm.gpus_per_node
        partition = self._there().partition(self._slurm.partition)
        if not wanted:
            return not_needed("none asked for: [launch.STEP.slurm] gpus_per_node")
        if partition is None:
            return not_needed("Slurm does not say what there is")
        fitting = [node for node in partition.nodes if node.gpus >= wanted]
        return ok(f"{len(fitting)} of {len(partition.nodes)} nodes have {wanted} or more") if fitting else self.partition(_)

    @connected
    def job(self, _: Scene) -> Found:
        """As sbatch would judge it. Nothing is submitted."""
        words = ["sbatch", "--test-only", *options(self._slurm, "doctor", "/")]
        said = self._ask(shlex.join(words), b"#!/bin/sh\n")
        if said.code != 0:
            return failed(_last(said), "look at [launch.STEP.slurm]: partition, account, qos, constraint, options")
        return ok(re.sub(r"^sbatch: Job \d+", "it would", _last(said)).replace("would to start", "would start"))

    @connected
    def container(self, _: Scene) -> Found:
        """On the bastion, after `setup`: nodes mostly have the same."""
        way = self._slurm.container
        if way == "none":
            return ok("none: the environment is what `setup` makes, and not pinned")
        said = self._ask(f"bash -c {shlex.quote(self._set_up(_VERSIONS[way]))}")
        version = _last(said)
        if said.code != 0:
            return failed(f"{way} is not there{f': {version}' if version else ''}", _INSTALL[way])
        if way == "pyxis" and (number := re.match(r"\d+", version)) and int(number[0]) < _OLDEST_ENROOT:
            return failed(f"enroot {version}", f"enroot {_OLDEST_ENROOT} or newer takes images by digest")
        return ok(f"pyxis, enroot {version}" if way == "pyxis" else f"{way} {version}")

    @connected
    def paths(self, _: Scene) -> Found:
        wanted = dict(self._paths())
        if not wanted:
            return not_needed("the configuration names no absolute path")
        test = 'while IFS= read -r -d "" path; do test -e "$path" || printf "%s\\0" "$path"; done'
        names = b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in dict.fromkeys(wanted.values()))
        missing = set(self._ask(f"bash -c {shlex.quote(test)}", names).text.split("\0"))
        lost = [f"{key} = {path}" for key, path in wanted.items() if path in missing]
        if lost:
            return failed(f"not on the cluster: {', '.join(lost)}", "copy it there, or change the configuration")
        return ok(f"{len(wanted)} of the configuration {'is' if len(wanted) == 1 else 'are'} there")

    @connected
    def accounting(self, _: Scene) -> Found:
        said = self._ask("sacct -n -P -X -S now-1hours -o JobID")
        if said.code == 0:
            return ok("sacct answers")
        return not_needed(f"{_last(said)}: how a job ended is known from squeue, and from what its script writes")

    def _set_up(self, command: str) -> str:
        return "\n".join([*(f"{line} >&2" for line in self._slurm.setup), command])

    def _there(self) -> Room:
        if self._room is None:
            self._room = parse_room(self._ask(command(self._slurm)).text)
        return self._room

    def _ask(self, command: str, stdin: bytes = b"") -> Said:
        return self._bastion.ask(command, stdin)


def _last(said: Said) -> str:
    lines = [line for line in (said.error or said.text).splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"exit code {said.code}"
