"""GitHub, and GitHub Enterprise, by their REST API.

https://docs.github.com/en/rest/commits/statuses, .../rest/pulls/pulls, .../rest/issues/comments
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from builder.errors import ForgeError
from builder.forge.api import Api
from builder.forge.interface import CONTEXT, Pull, State, Status, Write
from builder.stores.registry.patience import Notice, silent
from builder.stores.registry.retry import Retry

_STATES: dict[str, State] = {"success": "success", "failure": "failure", "error": "failure", "pending": "pending"}
_SHA = re.compile(r"[0-9a-f]{40}\Z")


@dataclass(frozen=True, slots=True)
class _Comment:
    id: int
    text: str


class GitHub:
    """`url` is the API's address, `repository` is `owner/name`. `notice` hears of what is tried again."""

    def __init__(
        self, url: str, repository: str, token: str, retry: Retry | None = None, timeout: float = 10.0, notice: Notice = silent
    ) -> None:
        self.name = f"{urlsplit(url).netloc.removeprefix('api.')}/{repository}"
        self._api = Api(url, token, retry, timeout, notice)
        self._owner = repository.partition("/")[0]
        self._repository = repository
        self._path = f"/repos/{repository}"
        self._login: str | None = None

    def status(self, sha: str) -> Status | None:
        with self._understood("read statuses"):
            path = f"{self._path}/commits/{sha}/statuses?per_page=100"  # newest first
            for item in self._api.pages(path, f"read the status of {sha[:12]}", ok=(200, 404, 422)):
                if item["context"] == CONTEXT:
                    return Status(_STATES[item["state"]], str(item["description"] or ""), str(item["target_url"] or ""))
        return None

    def set_status(self, sha: str, status: Status) -> bool:
        body = {"state": status.state, "description": status.text, "context": CONTEXT}
        body |= {"target_url": status.link} if status.link else {}
        what = f"set the status of {sha[:12]}"
        reply = self._api.call("POST", f"{self._path}/statuses/{sha}", what, body, ok=(201, 422))
        if reply.status == 422 and "no commit found" not in reply.message.lower():
            raise ForgeError(f"cannot {what}: {self.name} says {reply.message}", "look at [forge] in the settings")
        return reply.status == 201

    def pulls(self, branch: str = "", sha: str = "", number: int = 0) -> tuple[Pull, ...]:
        with self._understood("read pull requests"):
            return tuple(self._with_commits(int(item["number"])) for item in self._open(branch, sha, number))

    def _open(self, branch: str, sha: str, number: int) -> Iterator[Any]:
        if branch:
            path = f"{self._path}/pulls?state=open&per_page=100&head={quote(f'{self._owner}:{branch}', safe='')}"
            found: Any = [item for item in self._api.pages(path, "read pull requests") if item["head"]["ref"] == branch]
        elif number:
            found = [self._api.call("GET", f"{self._path}/pulls/{number}", f"read pull request {number}").data]
        else:
            found = self._api.pages(f"{self._path}/commits/{sha}/pulls?per_page=100", "read pull requests", ok=(200, 404, 422))
        return (item for item in found if item["state"] == "open")

    def _with_commits(self, number: int) -> Pull:
        items = self._api.pages(f"{self._path}/pulls/{number}/commits?per_page=100", f"read the commits of pull request {number}")
        commits = tuple((str(item["sha"]), str(item["commit"]["message"]).partition("\n")[0]) for item in items)
        return Pull(number, tuple(commit for commit in commits if _SHA.match(commit[0])))

    def upsert_comment(self, number: int, marker: str, write: Write) -> str:
        with self._understood("read comments"):
            ours = self._ours(number, marker)
            if ours:
                return self._settle(number, ours, write(ours[0].text))
            text = write("")
            self._api.call("POST", f"{self._path}/issues/{number}/comments", f"comment on {number}", {"body": text}, ok=(201,))
            self._settle(number, self._ours(number, marker), text)  # another build may have made one in the same moment
            return "created"

    def _settle(self, number: int, ours: list[_Comment], text: str) -> str:
        """The oldest stays, with this text."""
        for comment in ours[1:]:
            self._api.call("DELETE", f"{self._path}/issues/comments/{comment.id}", f"delete a comment of {number}", ok=(204, 404))
        if not ours or ours[0].text == text:
            return "same"
        self._api.call("PATCH", f"{self._path}/issues/comments/{ours[0].id}", f"change the comment of {number}", {"body": text})
        return "updated"

    def _ours(self, number: int, marker: str) -> list[_Comment]:
        """Oldest first. One that others wrote is left alone, as they could change it again, and it would speak for us."""
        found = self._api.pages(f"{self._path}/issues/{number}/comments?per_page=100", f"read the comments of {number}")
        marked = [item for item in found if str(item["body"] or "").startswith(marker)]
        ours = [_Comment(int(item["id"]), str(item["body"]).replace("\r\n", "\n")) for item in marked if self._wrote(item["user"])]
        return sorted(ours, key=lambda comment: comment.id)

    def _wrote(self, user: Any) -> bool:
        """An app's token, such as that of a job of Actions, may not ask who it is; but no person's account is of the type Bot."""
        if self._login is None:
            reply = self._api.call("GET", "/user", "ask who we are", ok=(200, 403, 404))
            self._login = str(reply.data["login"]) if reply.status == 200 else ""
        if not isinstance(user, dict):
            return False
        return user.get("login") == self._login if self._login else user.get("type") == "Bot"

    @contextmanager
    def _understood(self, what: str) -> Iterator[None]:
        try:
            yield
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            text = f"cannot {what}: {self.name} does not answer as GitHub's API does"
            raise ForgeError(text, "look at url in [forge]") from error
