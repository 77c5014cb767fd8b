"""Brings a job's files to the cluster and submits it, in one remote command: once, however often and by however many it is asked for.

<root>/runs/<run>/<step>-a<attempt>/   written aside and renamed: it is there whole, or not at all
    asked        sbatch was begun with; unless `submitted` is there, too, nobody knows what came of it
    submitted    the job's number
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath

from builder.launch.slurm.bastion import Said
from builder.launch.slurm.folders import SHARED

CODE_MISSING, TAKEN, DOUBTFUL = 91, 92, 93
"""How the command ends when the commit's files are not there yet, when the job was submitted before, and when it may have been."""

_PATIENCE = 60  # seconds that sbatch has, and that others wait for it
_LATE = (124, 137)  # timeout(1)

_BEGIN = """{shared}
[ -d "$1" ] || exit {missing}
touch "$1" 2>/dev/null
shared "$2"
if [ ! -d "$3" ]; then
    aside=$3.$4.$$
    mkdir -p "$aside" && tar -x -C "$aside" || exit 1
    mv -T "$aside" "$3" 2>/dev/null || rm -rf "$aside"
fi
cd "$3" || exit 1
exec 9>>submitting
flock -w {patience} -E {doubtful} 9
[ $? != {doubtful} ] || exit {doubtful}
[ ! -e submitted ] || exit {taken}
[ ! -e asked ] || [ "$5" ] || exit {doubtful}
: >asked
number=$(timeout -k 5 {patience} "${{@:6}}" <script 9>&-) || exit
echo "$number" >submitted
"""
"""For bash: the commit's files, where runs are, the job's directory, a suffix of one's own, whether to submit what may have been submitted
before (empty: no), and sbatch with its options. The files come as a tar on stdin. Without flock on its file system nobody waits.
"""

_SILENT = (
    "Unable to contact slurm controller",
    "Socket timed out",
    "Zero Bytes were transmitted",
    "Connection refused",
    "Connection timed out",
    "Communication connection failure",
    "Resource temporarily unavailable",
    "temporarily unable to accept job",
    "Transport endpoint is not connected",
    "Unexpected message received",
)
"""What Slurm's commands say while the controller is away, or has too much to do (slurm_errno.h): the request may have got through."""


def begin(code: str, directory: str, suffix: str, sbatch: Sequence[str], *, again: bool) -> str:
    """The remote command. `code` and `directory` are the commit's files and the job's own on the cluster; `again` submits what may have
    been submitted before, and is not there.
    """
    text = _BEGIN.format(shared=SHARED, missing=CODE_MISSING, taken=TAKEN, doubtful=DOUBTFUL, patience=_PATIENCE)
    runs = str(PurePosixPath(directory).parent.parent)
    return shlex.join(["bash", "-c", text, "begin", code, runs, directory, suffix, "1" if again else "", *sbatch])


def is_silent(said: Said) -> bool:
    """Whether Slurm's controller did not answer, so that nobody knows whether it did what it was asked for."""
    return said.code in _LATE or any(text in said.error for text in _SILENT)


def refusal(said: Said) -> str:
    """What sbatch said, in one line."""
    lines = (line.removeprefix("sbatch: ").removeprefix("error: ") for line in said.error.splitlines() if line.strip())
    return "; ".join(lines) or f"exit code {said.code}"


def hint(text: str) -> str:
    if "More processors requested" in text or "Node count specification invalid" in text or "configuration is not available" in text:
        return "[launch.STEP.slurm] asks for more than the partition can ever give: nodes, gpus_per_node, cpus, mem"
    if "failed to run command" in text:
        return "sbatch must be on the PATH of a shell that is no login shell: `ssh BASTION sbatch --version` shows it"
    if "Permission denied" in text or "quota" in text or "No space left" in text:
        return "look at [launch.STEP.slurm] root, rights and quota"
    return "look at [launch.STEP.slurm]: `sinfo` on the bastion lists partitions and what they have"
