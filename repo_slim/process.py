"""The one door to other programs: argument lists only, never a shell; git runs without anybody's configuration getting in the way."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from repo_slim.errors import ProcessError, SlimError

_SETTINGS = {
    "gc.auto": "0",  # nothing is tidied away while it is counted
    "maintenance.auto": "false",
    "core.hooksPath": "/dev/null",
    "core.packedGitWindowSize": "32m",  # a mapped pack counts as memory: by default all of it is mapped
    "core.packedGitLimit": "256m",
    "core.deltaBaseCacheLimit": "64m",
    "pack.windowMemory": "64m",
    "pack.threads": "4",  # each has a window of its own
    "core.bigFileThreshold": "1m",  # larger ones are streamed, not loaded, and nobody looks for deltas between them; those there are stay
    "clone.defaultRemoteName": "origin",
    "tag.gpgSign": "false",
    "commit.gpgSign": "false",
}
_OTHERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE")
_MORE = ("GIT_COMMON_DIR", "GIT_PREFIX", "GIT_CEILING_DIRECTORIES", "GIT_TRACE", "GIT_EXTERNAL_DIFF", "GIT_DEFAULT_HASH")
_LEFT_OUT = (*_OTHERS, *_MORE)


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended: its exit code and everything it wrote."""

    returncode: int
    stdout: bytes
    stderr: bytes


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of every program: the caller's, but that no variable points git to another repository, and with settings of our own."""
    kept = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
    number = int(kept.get("GIT_CONFIG_COUNT") or 0)
    for key, value in _SETTINGS.items():
        kept |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        number += 1
    ours = {"GIT_CONFIG_COUNT": str(number), "GIT_NO_REPLACE_OBJECTS": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_LFS_SKIP_SMUDGE": "1"}
    return {**kept, **ours, "LC_ALL": "C", "PYTHONIOENCODING": "utf-8", **(more or {})}


def run(
    argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, stdin: bytes = b"", check: bool = True
) -> Completed:
    """Runs a program to its end. `env` is added to ours. Raises ProcessError on an exit code other than 0, unless `check` is false."""
    words = [os.fsencode(word) for word in argv]
    try:
        done = subprocess.run(words, cwd=cwd, env=environment(env), input=stdin, capture_output=True, check=False)
    except OSError as error:
        raise _not_started(argv, error) from error
    if check and done.returncode != 0:
        raise ProcessError(tuple(argv), done.returncode, done.stderr.decode("utf-8", "replace"))
    return Completed(done.returncode, done.stdout, done.stderr)


def start(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | None = subprocess.PIPE,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a program that is talked to while it runs. The caller waits for it."""
    words = [os.fsencode(word) for word in argv]
    try:
        return subprocess.Popen(words, cwd=cwd, env=environment(env), stdin=stdin, stdout=stdout, stderr=stderr)
    except OSError as error:
        raise _not_started(argv, error) from error


def _not_started(argv: Sequence[str], error: OSError) -> SlimError:
    return SlimError(f"{argv[0]} cannot start: {error.strerror}", f"install {argv[0]}, or put it on PATH")
