"""Every error this library raises on purpose. It prints nothing: whoever calls it does."""

from __future__ import annotations


class SlimError(Exception):
    """What failed and on which thing (`message`), and what to do next (`hint`)."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = message, hint
        super().__init__(message)


class AskedError(SlimError):
    """What was asked for cannot be: a wrong hash, a plan that cannot be read, flags that exclude each other."""


class SourceError(SlimError):
    """The repository has something that cannot be slimmed without loss, or is no whole repository."""


class MovedError(SlimError):
    """The source is no longer what the plan was made for."""


class ArchiveError(SlimError):
    """The archive (a directory or a bucket) did not do what was asked."""


class DamagedError(SlimError):
    """Bytes do not hash to their name."""


class VerifyError(SlimError):
    """The rewritten history is not what the plan says. Nothing was published."""


class PublishError(SlimError):
    """The new remote cannot take the history, or has another one."""


class ProcessError(SlimError):
    """A program ended badly. Keeps what was started and the end of what it said."""

    def __init__(self, argv: tuple[str, ...], returncode: int, stderr: str) -> None:
        tail = "\n".join(stderr.strip().splitlines()[-12:])
        super().__init__(f"{argv[0]} ended with exit code {returncode}: {' '.join(argv)}\n{tail}".rstrip())
        self.argv, self.returncode, self.stderr = argv, returncode, stderr
