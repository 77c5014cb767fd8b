"""Every error this tool raises on purpose. Only the command line prints them, and only there do they become exit codes."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/:@]*:(?!\d+/)\S*@|(\bhttps?://)[^\s/]+@", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """The text with `***` for the user and password of each URL; a user alone is a token, where the URL is of the web."""
    return _USERINFO.sub(r"\1\2***@", text)


class BuilderError(Exception):
    """What failed and on which thing (`message`), and what to do next (`hint`).

    No URL's password gets into either.

    `exit_code` is what the process ends with: 1 failed, 2 wrong usage or settings, 4 needs authentication.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = without_passwords(message)
        self.hint = without_passwords(hint)
        super().__init__(self.message)


class UsageError(BuilderError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class SettingsError(BuilderError):
    """builder.toml (or `[tool.builder]`) says something that cannot be."""

    exit_code = 2


class AuthError(BuilderError):
    """A server wants credentials, or refuses the ones it got."""

    exit_code = 4


class SourceError(BuilderError):
    """The git repository cannot give what was asked of it."""


class RevisionError(SourceError):
    """No such revision, or an ambiguous one."""

    exit_code = 2


class OldNameError(RevisionError):
    """A name from before the history was slimmed that leads to no commit of this clone, or to several."""


class StoreError(BuilderError):
    """A registry, a layout on disk or a Docker daemon did not do what was asked."""


class BlobUnknownError(StoreError):
    """A manifest names a blob which the store does not hold (MANIFEST_BLOB_UNKNOWN)."""


class TagConflictError(StoreError):
    """A tag that is never overwritten already names another digest."""


class CannotDeleteError(StoreError):
    """A registry that deletes nothing: deletion is switched off, or not offered."""


class DataError(BuilderError):
    """The data root (a directory or a bucket) did not do what was asked."""


class IntegrityError(BuilderError):
    """Bytes do not hash to the digest that names them, or an image differs from its commit."""


class DepsError(BuilderError):
    """The dependencies image or layers cannot be made here."""


class ProcessError(BuilderError):
    """A program ended badly. Keeps what was started and the end of what it said."""

    def __init__(self, argv: tuple[str, ...], returncode: int, stderr: str, hint: str = "") -> None:
        tail = "\n".join(stderr.strip().splitlines()[-12:])
        super().__init__(f"{argv[0]} ended with exit code {returncode}: {' '.join(argv)}\n{tail}".rstrip(), hint)
        self.argv = argv
        self.returncode = returncode
        self.stderr = stderr


class ProgramMissingError(BuilderError):
    """A program that this step needs is not on PATH, or cannot be started."""


class LaunchError(BuilderError):
    """A command of the team could not be started, or did not end well.

    `end` is how it ended: `failed`, `exit:N`, `timeout`, `killed`, `memory`, `lost`, `cancelled` or `stage`.
    """

    def __init__(self, message: str, hint: str = "", end: str = "failed") -> None:
        super().__init__(message, hint)
        self.end = end


class DeployError(BuilderError):
    """A flow cannot be compiled or rendered, or the cluster did not do what was asked."""


class ClusterError(BuilderError):
    """A Kubernetes cluster did not answer, or did not do what was asked."""


class UnansweredError(BuilderError):
    """Clean-up cannot know what is needed, as a source does not answer: nothing is deleted."""


class NotifyError(BuilderError):
    """A message did not go out. Says nothing that is secret."""


class ForgeError(BuilderError):
    """The forge (GitHub) was not told of images, or cannot be asked. Holds no token."""


class TrackerError(BuilderError):
    """An experiment tracker was not told of a run."""
