"""The batch script, and the options of sbatch. What comes from people travels as files beside it, and is never read by a shell.

`argv` and `env` are words that end with NUL characters. The script takes `lock` first: of two jobs with one name the second does nothing.
`end` is how the command ended, whatever Slurm remembers by then.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from builder.launch.slurm.gang import on_every_node
from builder.settings import SlurmSettings, seconds

LOSER = 75
"""EX_TEMPFAIL of sysexits.h: another job does the work."""

_SCRIPT = """#!/bin/bash
cd {directory} || exit 1
mkdir lock 2>/dev/null || [ "$(cat lock/job 2>/dev/null)" = "$SLURM_JOB_ID" ] || exit {loser}
echo "$SLURM_JOB_ID" >lock/job
[ -d code ] || {{ cp -a --reflink=auto {code} code.new && mv -T code.new code; }} || exit 1
cd code || exit 1
while IFS= read -r -d '' pair; do export "$pair"; done <../env
mapfile -d '' -t argv <../argv
{setup}{gang}"${{argv[@]}}" </dev/null >>../log 2>&1 &
child=$!
trap 'kill -TERM $child 2>/dev/null' TERM INT
wait $child
code=$?
while kill -0 $child 2>/dev/null; do wait $child; code=$?; done
[ ! -s ../failed ] || code=$(<../failed)
echo $code >../end.new && mv -T ../end.new ../end
exit $code
"""


def script(directory: str, code: str, settings: SlurmSettings) -> bytes:
    """`directory` is the attempt's own on the cluster, `code` the commit's files there."""
    lines = "".join(f"{line}\n" for line in settings.setup)
    places = {"directory": shlex.quote(directory), "code": shlex.quote(code)}
    return _SCRIPT.format(**places, setup=lines, gang=on_every_node(settings), loser=LOSER).encode()


def options(settings: SlurmSettings, name: str, directory: str) -> list[str]:
    """The words after `sbatch`. `--no-requeue`: another attempt is another job, and the step decides about it."""
    fixed = ["--parsable", f"--job-name={name}", f"--chdir={directory}", f"--output={directory}/slurm.log", "--no-requeue"]
    return [*fixed, *_asked(settings), *settings.options]


def _asked(settings: SlurmSettings) -> Iterator[str]:
    for flag in ("partition", "account", "qos", "constraint"):
        if value := getattr(settings, flag):
            yield f"--{flag}={value}"
    if settings.nodes != 1:
        yield f"--nodes={settings.nodes}"
    if settings.gpus_per_node:
        yield f"--gres=gpu:{settings.gpus_per_node}"
    if settings.cpus:
        yield f"--cpus-per-task={settings.cpus}"
    if settings.mem:
        yield f"--mem={settings.mem}"
    if settings.time:
        yield f"--time={-(-seconds(settings.time) // 60)}"  # whole minutes, upwards


def words(values: Sequence[str]) -> bytes:
    """For `mapfile -d ''`: each value with a NUL behind it."""
    return b"".join(value.encode("utf-8", "surrogateescape") + b"\0" for value in values)


def pairs(values: Mapping[str, str]) -> bytes:
    return words([f"{name}={value}" for name, value in values.items()])
