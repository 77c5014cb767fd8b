"""What lies below a root of Slurm's side. Names are data: they come and go with NUL characters between them, and no shell reads them.

One find(1) a folder lists it; it follows no links, and links are none of ours. What goes is renamed first, so that whoever comes for it
finds all of it or nothing, and only where it is as it was when it was listed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from builder.data.keys import is_plain_name
from builder.errors import LaunchError
from builder.housekeep.things import JOBS, LAYERS, ON_SLURM, Jobs, Kind, Thing
from builder.launch.slurm.bastion import Bastion
from builder.launch.slurm.survey import survey

_HALF = re.compile(r"\.gone-|\.new-|.*\.new\.\d+\Z")
"""Names of what was left half removed, or half made."""

_LIST = (
    "date +%s; [ ! -L {folder} ] && [ -d {folder} ] && find {folder} -mindepth 1 -maxdepth {depth} -printf '%T@ %y %P\\0' 2>/dev/null; true"
)
_LINKED = "cd {folder} && xargs -0 -r -I@ find ./@ -type f -links +1 -printf '%H\\0' -quit 2>/dev/null; true"
_REMOVE = """
[ ! -L "$1" ] && cd "$1" || exit 1
away() {  # images have directories that their owner may not write to
    rm -rf --one-file-system -- "$1" 2>/dev/null || { chmod -R u+rwX -- "$1" && rm -rf --one-file-system -- "$1"; }
}
while IFS= read -r -d '' seen && IFS= read -r -d '' name; do
    is=$(stat -c %Y -- "./$name" 2>/dev/null)
    if [ -z "$is" ]; then printf 'gone\\0'
    elif [ "$is" != "$seen" ] || [ -L "./$name" ]; then printf 'used\\0'
    else
        aside=.gone-$$-$RANDOM$RANDOM
        error=$( { mv -T -- "./$name" "$aside" && away "$aside"; } 2>&1 ) &&
            printf 'removed\\0' || printf '%s\\0' "failed ${error%%$'\\n'*}"
    fi
done
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A root on a bastion, as people read it."""

    bastion: Bastion

    @property
    def root(self) -> str:
        return self.bastion.settings.root

    def __str__(self) -> str:
        return f"{self.bastion.name}:{self.root}"


def jobs_at(place: Place) -> tuple[float, Jobs]:
    """The cluster's time, and its jobs. Raises LaunchError, AuthError."""
    now, jobs = survey(place.bastion, [place.root])
    submitted = [job.submitted if job.submitted is not None else now for job in jobs]
    return now, Jobs(frozenset(job.name.partition(".")[0] for job in jobs), min(submitted, default=None))


def things_at(place: Place) -> Iterator[Thing]:
    """All that lies there. Raises LaunchError, AuthError."""
    for kind in ON_SLURM:
        yield from _listed(place, kind)


def _listed(place: Place, kind: Kind) -> Iterator[Thing]:
    said = place.bastion.ask(_LIST.format(folder=_folder(place, kind), depth=kind.depth))
    if said.code != 0:
        raise LaunchError(f"{place}/{kind.folder} cannot be listed: {said.error}", "look at [launch.STEP.slurm] root")
    _, _, rest = said.out.partition(b"\n")
    used: dict[str, float] = {}
    stamps: dict[str, str] = {}
    for entry in rest.decode("utf-8", "surrogateescape").split("\0"):
        when, _, typed = entry.partition(" ")
        sort, _, path = typed.partition(" ")
        name = path.partition("/")[0]
        if path:
            used[name] = max(used.get(name, 0.0), float(when))
        if path == name and sort == kind.of and _is_ours(kind, name):
            stamps[name] = when.partition(".")[0]
    linked = _linked(place, kind, list(stamps)) if kind in LAYERS else frozenset[str]()
    for name, stamp in stamps.items():
        run = name if kind == JOBS else ""
        yield Thing(kind, str(place), name, used[name], stamp, run, linked=name in linked, leftover=bool(_HALF.match(name)))


def _is_ours(kind: Kind, name: str) -> bool:
    """Hostile names are none that we gave; locks are held by whoever makes an image."""
    return is_plain_name(name) and name.isprintable() and not name.endswith(".lock") and (kind in LAYERS or name != "layers")


def _linked(place: Place, kind: Kind, names: Sequence[str]) -> frozenset[str]:
    """Layers with files that a tree shares."""
    said = place.bastion.ask(_LINKED.format(folder=_folder(place, kind)), _nul(names)) if names else None
    found = said.out.decode("utf-8", "surrogateescape").split("\0") if said else []
    return frozenset(name.removeprefix("./") for name in found)


def remove(place: Place, things: Sequence[Thing]) -> Iterator[tuple[Thing, str]]:
    """Each with what became of it: `removed`, `gone` (somebody else did), `used` (meanwhile), or `failed WHY`.

    Raises LaunchError, AuthError.
    """
    for kind in ON_SLURM:
        wanted = [thing for thing in things if thing.kind == kind]
        if not wanted:
            continue
        words = [word for thing in wanted for word in (thing.stamp, thing.name)]
        said = place.bastion.ask(f"bash -c {shlex.quote(_REMOVE)} housekeep {_folder(place, kind)}", _nul(words))
        answers = said.text.split("\0")[:-1]
        if said.code != 0 or len(answers) != len(wanted):
            raise LaunchError(f"{place}/{kind.folder}: {said.error or 'the connection broke off'}", "the next time goes on with the rest")
        yield from zip(wanted, answers, strict=True)


def _folder(place: Place, kind: Kind) -> str:
    return shlex.quote(f"{place.root}/{kind.folder}")


def _nul(words: Sequence[str]) -> bytes:
    return b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in words)
