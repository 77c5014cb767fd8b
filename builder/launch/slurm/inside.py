"""The scripts that lie beside a job's own: what runs on each node to enter a container, and what runs in it.

`env` and `argv` are words that end with NUL characters; so are those in `given.RANK`, which Slurm and whoever begins the ranks of a gang
gave to one of them.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from builder.launch.slurm.containers import CREDENTIALS, JOB, TOOL, Mount, Way

ENTER, TASK = "enter", "task"
"""Their names in the job's directory. Both get what to do (`run`, `in`, `out`), `task` the rank as well."""

_ENTER = """#!/bin/bash
builder_job={directory}
image={image}
rank=${{SLURM_PROCID:-0}}
while IFS= read -r -d '' pair; do
  case $pair in
    SLURM_* | CUDA_* | NVIDIA_* | ROCR_* | GPU* | NCCL_* | UCX_* | FI_* | OMPI_* | PMI* | PET_* | BUILDER_* | MASTER_* | NNODES=* | \\
      NODE_RANK=* | RANK=* | LOCAL_RANK=* | WORLD_SIZE=*)
      printf '%s\\0' "$pair" ;;
  esac
done < <(env -0) >"$builder_job/given.$rank"
tmp=$builder_job/tmp.$rank
mkdir -p "$tmp"
if [ "$1" = run ]; then
  exec {run} bash -p {job}/{task} run "$rank"
fi
exec {move} bash -p {job}/{task} "$1" "$rank"
"""

# BUILDER_* that is set was given to this rank alone
_TASK = """#!/bin/bash
if [ -e {job}/given.$2 ]; then
  while IFS= read -r -d '' pair; do export "$pair"; done <{job}/given.$2
fi
export PATH="${{PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}}" HOME="${{HOME:-/tmp}}"
cd {workdir} || exit 1
if [ "$1" != run ]; then
  {move}
fi
while IFS= read -r -d '' pair; do
  case $pair in BUILDER_*) printenv "${{pair%%=*}}" >/dev/null && continue ;; esac
  export "$pair"
done <{job}/env
mapfile -d '' -t argv <{job}/argv
exec "${{argv[@]}}" </dev/null
"""

_MOVE = """for python in python python3 ''; do
  "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && break
done
[ -n "$python" ] || {{ echo 'builder: no Python from 3.10 on here, which moves files from and to the data root'; exit 1; }}
AWS_SHARED_CREDENTIALS_FILE={credentials} exec "$python" -I -B {tool} "$1" {job} {tree}
"""


def enter(way: Way, directory: str, image: str, workdir: str, tool: str, credentials: str) -> bytes:
    """What begins `task` in a container, on the node where it is run. `tool` and `credentials` are empty where nothing is moved."""
    mounts = job_mounts(directory, workdir)
    run, move = (way.words(some, workdir) for some in (mounts, [*mounts, *moving_mounts(tool, credentials)]))
    names = {"directory": shlex.quote(directory), "image": shlex.quote(image), "job": JOB, "task": TASK}
    return _ENTER.format(**names, run=run, move=move).encode()


def task(workdir: str) -> bytes:
    """What runs in a container."""
    quoted = shlex.quote(workdir)
    return _TASK.format(job=JOB, workdir=quoted, move=move(JOB, quoted, TOOL, CREDENTIALS)).encode()


def move(job: str, tree: str, tool: str, credentials: str) -> str:
    """Shell lines that take the place of the shell, and bring or take files as `$1` says. All are shell text."""
    return _MOVE.format(job=job, tree=tree, tool=tool, credentials=credentials)


def job_mounts(directory: str, workdir: str) -> list[Mount]:
    return [Mount(shlex.quote(directory), JOB, False), Mount(shlex.quote(f"{directory}/code"), workdir, False)]


def moving_mounts(tool: str, credentials: str) -> Sequence[Mount]:
    if not tool:
        return ()
    return Mount(shlex.quote(tool), TOOL), Mount(home_text(credentials), CREDENTIALS)


def home_text(path: str) -> str:
    """A path of the cluster as shell text: `~/` is the home of whom the job belongs to, there."""
    return '"$HOME"/' + shlex.quote(path.removeprefix("~/")) if path.startswith("~/") else shlex.quote(path)
