"""The port to the forge: what a commit is said to be, and what a pull request is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

State = Literal["success", "failure", "pending"]

Write = Callable[[str], str]
"""From the text of the comment that is there (empty when there is none) to the text that should be."""

CONTEXT = "builder image"
"""The name under which statuses are set: others' are left alone."""


@dataclass(frozen=True, slots=True)
class Status:
    """What is said of a commit: `text` in at most 140 characters, `link` where to look further."""

    state: State
    text: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Pull:
    """An open pull request. `commits` are its commits, oldest first, as (sha, subject)."""

    number: int
    commits: tuple[tuple[str, str], ...]


class Forge(Protocol):
    """One repository at a forge. All raise ForgeError, which holds no token."""

    @property
    def name(self) -> str:
        """For people, such as `github.com/team/agent`."""

    def status(self, sha: str) -> Status | None:
        """The last one that was set under our name; None when there is none, or no such commit."""

    def set_status(self, sha: str, status: Status) -> bool:
        """False where the forge does not have the commit: it was not pushed."""

    def pulls(self, branch: str = "", sha: str = "", number: int = 0) -> tuple[Pull, ...]:
        """The open ones from this branch of the repository itself, else the one with this number, else those with this commit."""

    def upsert_comment(self, number: int, marker: str, write: Write) -> str:
        """The one comment of ours that begins with `marker` gets the text of `write`, which begins with it, too.

        Returns `created`, `updated` or `same`. Somebody else's comment is never ours, whatever it says. Where two at once made one each,
        one is left.
        """
