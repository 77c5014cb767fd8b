"""The one boundary where errors become lines on stderr and exit codes."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

import click

from builder.cli import output
from builder.errors import BuilderError

FAILED, USAGE, UNKNOWN, INTERRUPTED, PIPE = 1, 2, 3, 130, 141

EXIT_CODES = {
    0: "done, or nothing to do",
    1: "it failed; the message says what and what to do next",
    2: "the command line, a revision or the settings ask for something that cannot be",
    UNKNOWN: "`--diff` could not tell: it failed, where 1 means that something differs",
    4: "a server wants credentials, or refuses those it got",
    INTERRUPTED: "interrupted (ctrl-C)",
    PIPE: "the reader of the output went away",
}
"""For people and the reference. A command whose answer is no (`verify`, `doctor`) ends with 1."""

_PLAIN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOENT})
"""What the system says when rights, space or a directory are missing."""


_NO_ARGUMENTS: type[click.UsageError] | tuple[()] = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""What a group without a word raises: its help. Before click 8.2 it printed that by itself."""


@dataclass
class Flags:
    """What the global options said. They may stand before or after the command's name."""

    verbose: bool = False
    failed: int = FAILED
    """What a failure ends with: UNKNOWN in a command whose 1 says something else."""


def guarded(body: Callable[[], object], flags: Flags) -> int:
    """Runs a command and returns its exit code: what it returned when that is a number, else 0."""
    try:
        code = body()
        output.flush()
    except output.LostError as error:
        return _lost(error.cause, flags.failed)
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        output.note(": ".join(["interrupted", *map(str, error.args)]))
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the boundary
        if isinstance(error, OSError) and _of_click(error):
            return _lost(error, flags.failed)
        if flags.verbose:
            _traceback()
        return _explain(error, flags)
    return code if isinstance(code, int) else 0


def _explain(error: Exception, flags: Flags) -> int:
    if isinstance(error, BuilderError):
        output.error(error.message, error.hint)
        return flags.failed if error.exit_code == FAILED else error.exit_code
    if isinstance(error, _NO_ARGUMENTS):
        output.note(error.format_message())
        return USAGE
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "builder"
        output.error(error.format_message(), _of_a_commit(error) or f"`{path} --help` shows what it takes")
        return USAGE
    if isinstance(error, click.ClickException):
        output.error(error.format_message())
        return error.exit_code
    if isinstance(error, OSError) and error.errno in _PLAIN:
        output.error(*_of_the_system(error))
        return flags.failed
    again = "" if flags.verbose else "run it again with -v to see where, and report it with what that prints"
    output.error(f"internal error: {type(error).__name__}: {error}", again)
    return flags.failed


def _of_a_commit(error: click.UsageError) -> str:
    """Some commands are told their commit as an argument, others as an option: nobody remembers which."""
    word = re.match(r"Got unexpected extra argument \((\S+)\)", error.format_message())
    options = error.ctx.command.params if error.ctx else []
    return f"a commit is named so: --commit {word[1]}" if word and any("--commit" in each.opts for each in options) else ""


def _of_the_system(error: OSError) -> tuple[str, str]:
    """What the system refuses is no fault of this tool."""
    if error.errno == errno.ENOENT and not error.filename:
        return "the working directory is gone", "go to one that is there, or name a repository with --repo DIR"
    return f"{error.filename or 'a file'}: {error.strerror}", "look at its owner and rights, and at the disk"


def _traceback() -> None:
    import traceback

    sys.stderr.write(traceback.format_exc())


def _of_click(error: OSError) -> bool:
    """click prints help and the version itself."""
    frame = error.__traceback__
    while frame and frame.tb_frame.f_code is not click.echo.__code__:
        frame = frame.tb_next
    return frame is not None


def _lost(error: OSError, failed: int) -> int:
    """stdout takes no more. Nobody reads it: no error. What is still buffered must not raise again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return PIPE
    output.error(f"cannot write to stdout: {error.strerror}", "what was asked for may be done: only its result could not be printed")
    return failed
