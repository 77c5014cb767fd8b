"""The batch script, and the options of sbatch. What comes from people travels as files beside it, and is never read by a shell.

`argv`, `env` and `sought` are words that end with NUL characters. The script takes `lock` first: of two jobs with one name the second does
nothing.
`end` is how the command ended, whatever Slurm remembers by then: its exit code, or a word of `UNDONE`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from builder.launch.interface import Finished
from builder.launch.slurm import inside
from builder.launch.slurm.containers import JOB, WAYS, Way, fetch
from builder.launch.slurm.gang import on_every_node
from builder.settings import SlurmSettings, seconds

LOSER = 75
"""EX_TEMPFAIL of sysexits.h: another job does the work."""

STAGE = "stage"
"""The end, in the words of the settings, of a job that failed in what goes before and after its command."""

UNDONE = {
    "code": "never began: the commit's files could not be copied",
    "image": "never began: its node could not get the image",
    "in": "never began: its checkpoint could not be brought from the data root",
    "out": "ended well, but what it left could not be taken to the data root",
}
"""What a job did not do beside the command, as the script calls it and as people read it."""

_SCRIPT = """#!/bin/bash
builder_job={directory}
cd "$builder_job" || exit 1
mkdir lock 2>/dev/null || [ "$(cat lock/job 2>/dev/null)" = "$SLURM_JOB_ID" ] || exit {loser}
echo "$SLURM_JOB_ID" >lock/job
builder_end() {{ echo "$1" >"$builder_job/end.new" && mv -T "$builder_job/end.new" "$builder_job/end"; exit "$2"; }}
[ -d code ] || {{ cp -a --reflink=auto {code} code.new && mv -T code.new code; }} 2>>log || builder_end code 1
{again}cd code || exit 1
code=0
{before}if [ -z "$builder_done" ]; then
{into}cd "$builder_job/code" || exit 1
{gang}{words} </dev/null >>"$builder_job/log" 2>&1 &
child=$!
trap 'kill -TERM $child 2>/dev/null' TERM INT
wait $child
code=$?
while kill -0 $child 2>/dev/null; do wait $child; code=$?; done
[ ! -s "$builder_job/failed" ] || code=$(<"$builder_job/failed")
fi
{out}builder_end $code $code
"""

# After an attempt whose command ended well, and that failed or was lost on its way out, there is nothing left to do but that.
_AGAIN = """builder_done=
case "$(cat {previous}/end 2>/dev/null)" in out | '') [ ! -e {previous}/left ] || builder_done=1 ;; esac
if [ -n "$builder_done" ]; then
  rm -rf code files
  for what in code files; do
    cp -al {previous}/$what . 2>/dev/null || {{ rm -rf $what && cp -a --reflink=auto {previous}/$what . 2>>log; }} || builder_end code 1
  done
  echo 'builder: the attempt before this one ended well; what it left is taken to the data root' >>log
fi
"""
_READ_ENV = """while IFS= read -r -d '' pair; do export "$pair"; done <../env
"""
_READ_ARGV = """mapfile -d '' -t argv <"$builder_job/argv"
"""
_MOVING = """builder_move() (
  {move})
"""
_IN = """{move} in </dev/null >>"$builder_job/log" 2>&1 || builder_end in 1
"""
_OUT = """if [ $code = 0 ]; then
  sync -f "$builder_job/files" 2>/dev/null
  : >"$builder_job/left"
  {move} out </dev/null >>"$builder_job/log" 2>&1 || builder_end out 1
fi
"""
# An output and a pattern, and so on. Bash matches a pattern with names of files, and does nothing else with it.
_SEEK = """if [ $code = 0 ]; then
  shopt -s globstar
  while IFS= read -r -d '' output && IFS= read -r -d '' pattern; do
    [ -z "$(ls -A "$builder_job/files/$output" 2>/dev/null)" ] || continue
    newest=
    while IFS= read -r found; do
      found=$builder_job/code/$found
      if [ -d "$found" ] && { [ -z "$newest" ] || [ "$found" -nt "$newest" ]; }; then newest=$found; fi
    done < <(cd "$builder_job/code" && compgen -G "$pattern")
    [ -z "$newest" ] || { mkdir -p "$builder_job/files/$output" && cp -a "$newest/." "$builder_job/files/$output/"; }
  done <"$builder_job/sought"
fi
"""
_ONE_TASK = "srun --nodes=1 --ntasks=1 ${SLURM_CPUS_PER_TASK:+--cpus-per-task=$SLURM_CPUS_PER_TASK} "


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a job's script depends on. `directory` is the attempt's own on the cluster, `code` the commit's files there.

    `image` is the one whose environment the command has, by digest, with `workdir` its working directory; both are empty where the
    settings' `setup` makes the environment. `tool` is what moves checkpoints from and to the data root; empty where the job moves none.
    `brings`, `takes`: whether it does so before the command, and after it. `previous` is the directory of the attempt before, if there was
    one. `seeks`: outputs may lie elsewhere in the tree (file `sought`).
    """

    directory: str
    code: str
    settings: SlurmSettings
    image: str = ""
    workdir: str = ""
    tool: str = ""
    brings: bool = False
    takes: bool = False
    previous: str = ""
    seeks: bool = False

    @property
    def way(self) -> Way | None:
        return WAYS.get(self.settings.container)


def script(attempt: Attempt) -> bytes:
    """For sbatch."""
    settings, way = attempt.settings, attempt.way
    setup = "".join(f"{line}\n" for line in settings.setup)
    before, words, gang, move = _in_container(attempt, way, setup) if way else _bare(attempt, setup)
    places = {"directory": shlex.quote(attempt.directory), "code": shlex.quote(attempt.code), "loser": LOSER}
    seek = _SEEK if attempt.seeks else ""
    moved = {"into": _IN.format(move=move) if attempt.brings else "", "out": _OUT.format(move=move) if attempt.takes else seek}
    again = _AGAIN.format(previous=shlex.quote(attempt.previous)) if attempt.takes and attempt.previous else "builder_done=\n"
    return _SCRIPT.format(**places, **moved, again=again, before=before, gang=gang, words=words).encode()


def beside(attempt: Attempt) -> dict[str, bytes]:
    """The other scripts of the attempt, by their names in its directory."""
    way, settings = attempt.way, attempt.settings
    if way is None:
        return {}
    found = {inside.TASK: inside.task(attempt.workdir)}
    if not way.of_srun:
        image = way.image(settings.root, attempt.image)
        found[inside.ENTER] = inside.enter(way, attempt.directory, image, attempt.workdir, attempt.tool, settings.s3_credentials)
    return found


def _bare(attempt: Attempt, setup: str) -> tuple[str, str, str, str]:
    """What stands before the command, the command, what begins it on every node, and what moves files."""
    credentials, tool = inside.home_text(attempt.settings.s3_credentials), shlex.quote(attempt.tool)
    move = inside.move('"$builder_job"', '"$builder_job/code"', tool, credentials)
    moving = _MOVING.format(move=move.replace("\n", "\n  ")) if attempt.tool else ""
    return f"{_READ_ENV}{setup}{moving}{_READ_ARGV}", '"${argv[@]}"', on_every_node(attempt.settings), "builder_move"


def _in_container(attempt: Attempt, way: Way, setup: str) -> tuple[str, str, str, str]:
    settings = attempt.settings
    before = f"{setup}{fetch(way, settings.root, attempt.image, attempt.workdir)}"
    if not way.of_srun:
        enter = f'bash -p "$builder_job/{inside.ENTER}"'
        return before, f"{enter} run", on_every_node(settings), enter
    mounts = inside.job_mounts(attempt.directory, attempt.workdir)
    task = f"bash -p {JOB}/{inside.TASK}"
    run = way.words(mounts, attempt.workdir)
    move = way.words([*mounts, *inside.moving_mounts(attempt.tool, settings.s3_credentials)], attempt.workdir)
    gang = on_every_node(settings, f"{run} ", f"{JOB}/failed") or f"{_ONE_TASK}{run} "
    return f'{before}unset "${{!PYTHON@}}"\n', f"{task} run 0", gang, f"{_ONE_TASK}{move} {task}"


def ended_as(end: str) -> Finished:
    """What the file `end` says."""
    return Finished(1, end=STAGE, said=UNDONE[end]) if end in UNDONE else Finished(int(end))


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
