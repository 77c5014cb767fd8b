"""The ways to run a command in an image on a cluster's nodes, as text of a job's script.

In every one of them the job's own directory is mounted at JOB, the tree at the image's working directory, and bash runs `task` (inside.py)
there. The image is made into what the way runs it from once per digest, by the first job that needs it: aside, and renamed. Of the three
only charliecloud runs in our tests; what the others are told follows their documentation.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from builder.launch.slurm.folders import SHARED
from builder.model.reference import Reference

JOB, TOOL, CREDENTIALS = "/builder-job", "/builder-tool", "/builder-credentials"
"""Where a container has the job's directory; and, while checkpoints are moved, what moves them and the key to the data root."""


@dataclass(frozen=True, slots=True)
class Mount:
    """`source` is shell text: a quoted word, in which `"$HOME"` may stand."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class Way:
    """`folder` of the cluster's root keeps images, each as its digest and `suffix`; `pull` are shell lines that make one from the image
    {reference} as `$new`. `enter` are the shell words that run what follows them in `$image`, with {mounts}, each of which is as `mount`
    says; {between} stands between them. `of_srun`: they are options of srun itself.
    """

    folder: str
    suffix: str
    pull: str
    enter: str
    mount: str
    between: str = " "
    of_srun: bool = False

    def words(self, mounts: Sequence[Mount], workdir: str) -> str:
        return self.enter.format(mounts=self.mounts(mounts), workdir=shlex.quote(workdir))

    def mounts(self, mounts: Sequence[Mount]) -> str:
        flags = {True: ":ro", False: ""}
        return self.between.join(
            self.mount.format(source=one.source, target=shlex.quote(one.target), flags=flags[one.read_only]) for one in mounts
        )

    def image(self, root: str, reference: str) -> str:
        """Where the image is kept."""
        return f"{root}/{self.folder}/{reference.rpartition(':')[2]}{self.suffix}"


# A digest stands where a tag does, which enroot 3 and 4 take: https://github.com/NVIDIA/enroot/blob/main/doc/cmd/import.md
_PYXIS = Way(
    "sqsh",
    ".sqsh",
    'enroot import --output "$new" {enroot}',
    '--container-image="$image" --no-container-mount-home --no-container-entrypoint --container-workdir={workdir} '
    "--container-mounts={mounts}",
    "{source}:{target}{flags}",
    ",",
    of_srun=True,
)

# https://apptainer.org/docs/user/main/cli/apptainer_exec.html: --containall has /tmp in memory unless --workdir says where
_APPTAINER = Way(
    "sif",
    ".sif",
    'apptainer pull "$new" docker://{reference}',
    'apptainer exec --nv --containall --workdir "$tmp" {mounts} --pwd {workdir} "$image"',
    "--bind {source}:{target}{flags}",
)

# https://hpc.github.io/charliecloud/ch-run.html: what is mounted on must be there
_CHARLIECLOUD = Way(
    "charliecloud",
    "",
    """ch-image --no-cache -s "$new" pull {reference} && mv -T "$new"/img/* "${{new}}0" && rm -rf "$new" && mv -T "${{new}}0" "$new" &&
    mkdir -p "$new"{{{workdir},{job},{tool}}} && : >"$new"{credentials} &&
    {{ ! command -v nvidia-container-cli >/dev/null || ch-fromhost --nvidia "$new"; }}""",
    "ch-run --unset-env='*' --env-no-expand --set-env {mounts} --cd {workdir} \"$image\" --",
    "--bind {source}:{target}",
)

WAYS = {"pyxis": _PYXIS, "apptainer": _APPTAINER, "charliecloud": _CHARLIECLOUD}

# A job that died in the middle left something aside; where locks do not work, or the lock is another user's, two may pull at once, and
# either's counts.
_FETCH = """{shared}
export USER="${{USER:-$(id -un)}}"
image={image}
if [ ! -e "$image" ]; then
  shared "${{image%/*}}"
  exec 9>>"$image.lock" && flock 9 && rm -rf "$image".new.*
  if [ ! -e "$image" ]; then
    new=$image.new.$SLURM_JOB_ID
    {{ {pull}
    }} </dev/null >>"$builder_job/log" 2>&1 && {{ mv -T "$new" "$image" 2>/dev/null || [ -e "$image" ]; }} || builder_end image 1
  fi
  exec 9>&-
fi
touch "$image" 2>/dev/null
"""


def fetch(way: Way, root: str, reference: str, workdir: str) -> str:
    """Shell lines after which `$image` is there; they end the job as `image` where it cannot be had."""
    names = {"reference": shlex.quote(docker_name(reference)), "enroot": shlex.quote(enroot_name(reference))}
    places = {"workdir": shlex.quote(workdir), "job": JOB, "tool": TOOL, "credentials": CREDENTIALS}
    return _FETCH.format(shared=SHARED, image=shlex.quote(way.image(root, reference)), pull=way.pull.format(**names, **places))


def docker_name(reference: str) -> str:
    return str(Reference.parse(reference))


def enroot_name(reference: str) -> str:
    """`docker://host#name:sha256:...`"""
    parsed = Reference.parse(reference)
    return f"docker://{parsed.repository.host}#{parsed.repository.name}:{parsed.name}"
