"""The one door to other programs: argument lists only, never a shell; errors keep the argv and the end of stderr."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.errors import ProcessError, ProgramMissingError


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended: its exit code and everything it wrote."""

    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode("utf-8", "surrogateescape")


def run(
    argv: Sequence[str],
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    check: bool = True,
    timeout: float | None = None,
) -> Completed:
    """Runs a program to its end and returns what it wrote.

    `env` replaces the whole environment. Raises ProcessError on an exit code other than 0 (unless `check` is false)
    or on a time-out, and ProgramMissingError when there is no such program, or it cannot be started.
    """
    try:
        done = subprocess.run(list(argv), cwd=cwd, env=env, input=stdin, capture_output=True, timeout=timeout, check=False)
    except OSError as error:
        raise _not_started(argv, cwd, error) from error
    except subprocess.TimeoutExpired as error:
        raise ProcessError(tuple(argv), -1, f"still running after {timeout} s") from error
    if check and done.returncode != 0:
        raise ProcessError(tuple(argv), done.returncode, done.stderr.decode("utf-8", "replace"))
    return Completed(done.returncode, done.stdout, done.stderr)


def start(
    argv: Sequence[str],
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | None = subprocess.PIPE,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
    own_group: bool = False,
) -> subprocess.Popen[bytes]:
    """Starts a program that is talked to while it runs. The caller waits for it.

    `own_group`: it leads a process group (and session) of its own, that can be ended as a whole.
    """
    try:
        return subprocess.Popen(list(argv), cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=own_group)
    except OSError as error:
        raise _not_started(argv, cwd, error) from error


def let_go(child: subprocess.Popen[bytes]) -> None:
    """Leaves a program to itself. It is waited for while this process lives, so that it does not stay a zombie."""
    threading.Thread(target=child.wait, daemon=True).start()


def _not_started(argv: Sequence[str], cwd: Path | str | None, error: OSError) -> ProgramMissingError:
    if cwd is not None and not Path(cwd).is_dir():
        return ProgramMissingError(f"{argv[0]} cannot start: there is no directory {cwd}")
    if isinstance(error, FileNotFoundError):
        hint = f"install {argv[0]}; `builder doctor` lists what is missing"
        return ProgramMissingError(f"{argv[0]} is not installed, or not on PATH", hint)
    return ProgramMissingError(f"{argv[0]} cannot start: {error.strerror}", f"check that {argv[0]} runs by itself")
