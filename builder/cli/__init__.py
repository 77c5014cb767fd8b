"""The command line: the only package that prints, exits or knows click. One command per file."""

import os
import sys
from gc import set_threshold
from typing import NoReturn


def main() -> NoReturn:
    """Runs the `builder` command, and ends the process."""
    # Nearly all that is allocated here lives to the end; looking through it again and again took a tenth of the time.
    set_threshold(100_000, 50, 50)
    try:
        _speak_utf8()
        _open_streams()
        from builder.cli.frame import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while modules are imported, or in the last lines of `run`
        sys.stderr.write("interrupted\n")
        code = 130
    _leave(code)


def _leave(code: int) -> NoReturn:
    """At once: everything is closed by now, and taking the interpreter down in order takes 20 ms.

    After ctrl-C, threads that wait for a server would hold it up for a minute.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # closed, or nobody reads: said already where it mattered
        code = code or 1
    os._exit(code)


def _speak_utf8() -> None:
    """Git's paths are UTF-8 to us: where the locale makes them anything else to Python, it starts again in its UTF-8 mode."""
    if sys.getfilesystemencoding() != "utf-8":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606


def _open_streams() -> None:
    """A shell may start us with closed streams (`>&-`), and the next file opened would take their place.

    A closed stdout still fails when the result is written to it; nobody waits for what a closed stderr would say.
    """
    for name, number, mode in (("stdin", 0, os.O_RDONLY), ("stdout", 1, os.O_RDONLY), ("stderr", 2, os.O_WRONLY)):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.dup2(os.open(os.devnull, mode), number)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
