"""Requests to GitHub's REST API: the token, pages, limits, and errors in our words.

https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import builder
from builder.errors import ForgeError
from builder.stores.registry.retry import Retry, TransientError, retry_after
from builder.stores.registry.urls import origin

_VERSION = "2022-11-28"
_MIB = 1024 * 1024
_LIMIT = 8 * _MIB
_PAGES = 30
_HOPS = 3
_PATIENCE = 120.0
"""Seconds: a limit that lasts longer is not waited for."""
_TROUBLE = frozenset({500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 307, 308})
_NEXT = re.compile(r'<([^<>]+)>\s*;[^,]*\brel="?next"?')


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. `data` is what its JSON says, None when it has no body. `message` is GitHub's own word on a refusal."""

    status: int
    headers: Mapping[str, str]
    data: Any
    message: str = ""


class Api:
    """`url` is where the API is, such as https://api.github.com; the token goes nowhere else, and into no message."""

    def __init__(self, url: str, token: str, retry: Retry | None = None, timeout: float = 20.0) -> None:
        import urllib3

        self._url, self._token = url, token
        self._retry = retry or Retry(tries=4, first=1.0, longest=60.0)
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=min(timeout, 10.0), read=timeout), retries=False)

    def call(self, method: str, path: str, what: str, body: object = None, ok: tuple[int, ...] = (200,)) -> Reply:
        """`what` completes "cannot ..." for people; an answer with a status not in `ok` is a ForgeError. What may pass is tried again."""
        try:
            return self._retry.run(lambda _: self._once(method, f"{self._url}{path}", what, body, ok))
        except TransientError as error:
            raise ForgeError(error.message, error.hint) from None

    def pages(self, path: str, what: str, ok: tuple[int, ...] = (200,)) -> Iterator[Any]:
        """The items of a list, page after page; none when the answer is one of `ok` other than 200."""
        for _ in range(_PAGES):
            reply = self.call("GET", path, what, ok=ok)
            if reply.status != 200:
                return
            yield from reply.data if isinstance(reply.data, list) else ()
            match = _NEXT.search(reply.headers.get("Link", ""))
            if not match:
                return
            path = self._relative(match[1], what)

    def _relative(self, link: str, what: str) -> str:
        if not link.startswith(f"{self._url}/"):
            raise ForgeError(f"cannot {what}: the next page would be at another address", "look at url in [forge]")
        return link[len(self._url) :]

    def _once(self, method: str, url: str, what: str, body: object, ok: tuple[int, ...]) -> Reply:
        for _ in range(_HOPS):
            reply = self._exchange(method, url, what, body)
            if reply.status not in _REDIRECTS:
                break
            url = self._moved(url, reply, what)  # a repository that was renamed
        if reply.status in ok:
            return reply
        raise self._refusal(reply, what)

    def _moved(self, url: str, reply: Reply, what: str) -> str:
        there = urljoin(url, reply.headers.get("Location", ""))
        if origin(there) != origin(self._url):
            raise ForgeError(f"cannot {what}: {self._host} sends us to another address, where no token goes", "look at url in [forge]")
        return there

    def _exchange(self, method: str, url: str, what: str, body: object) -> Reply:
        import urllib3.exceptions

        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": _VERSION,
            "User-Agent": f"builder/{builder.__version__}",
            "Authorization": f"Bearer {self._token}",
        }
        sent = None if body is None else json.dumps(body).encode()
        try:
            answer = self._pool.urlopen(method, url, body=sent, headers=headers, redirect=False, preload_content=False)
            data = answer.read(_LIMIT + 1)
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise _broken(f"cannot {what}: {self._host}: {type(error).__name__}", error) from None
        if len(data) > _LIMIT:
            raise ForgeError(f"cannot {what}: the answer of {self._host} is longer than {_LIMIT} bytes", "look at url in [forge]")
        return self._reply(answer.status, answer.headers, data, what)

    def _reply(self, status: int, headers: Mapping[str, str], data: bytes, what: str) -> Reply:
        try:
            found = json.loads(data) if data.strip() else None
        except (ValueError, RecursionError):
            if status < 300:
                raise ForgeError(f"cannot {what}: {self._host} does not answer as GitHub's API does", "look at url in [forge]") from None
            found = None
        said = str(found.get("message", "")) if isinstance(found, dict) else ""
        return Reply(status, headers, found, _printable(said.replace(self._token, "***")))

    def _refusal(self, reply: Reply, what: str) -> ForgeError | TransientError:
        text = f"cannot {what}: {self._host} answered {reply.status} {reply.message}".rstrip()
        if reply.status in _TROUBLE:
            return TransientError(text, "try again in a minute", retry_after(reply.headers))
        if reply.status in (403, 429) and (wait := _limited(reply)) is not None:
            if wait > _PATIENCE:
                return ForgeError(f"{text}; its limit ends in {wait / 60:.0f} minutes", "run the job again then")
            return TransientError(text, "the token's limit of requests is reached: run the job again later", wait)
        return ForgeError(text, _HINTS.get(reply.status, "look at [forge] in the settings"))

    @property
    def _host(self) -> str:
        return origin(self._url)[1]


_RIGHTS = "the token must be allowed to write commit statuses and pull requests of this repository"
_HINTS = {401: "is the token still good?", 403: _RIGHTS, 404: f"is the repository's name right? {_RIGHTS}"}


def _limited(reply: Reply) -> float | None:
    """Seconds until a limit ends; None when it is no limit that stands in the way.

    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
    """
    if "Retry-After" in reply.headers:
        return retry_after(reply.headers)
    if reply.headers.get("X-RateLimit-Remaining", "").strip() == "0":
        reset = reply.headers.get("X-RateLimit-Reset", "").strip()
        return max(1.0, float(reset[:12]) - time.time()) if reset.isascii() and reset.isdigit() else 60.0
    if reply.status == 429 or "secondary rate limit" in reply.message.lower():
        return 60.0
    return None


def _broken(text: str, error: Exception) -> ForgeError | TransientError:
    """A connection that failed. What cannot pass by itself is not tried again."""
    import urllib3.exceptions as u3

    if isinstance(error, u3.NameResolutionError):
        return ForgeError(f"{text}: no such host", "look at url in [forge], and at the network")
    if isinstance(error, (u3.SSLError, ValueError)) or not isinstance(
        error, (u3.ProtocolError, u3.TimeoutError, u3.NewConnectionError, OSError)
    ):
        return ForgeError(text, "look at url in [forge]")
    return TransientError(text, "the forge or the network is in trouble: run the job again later")


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).strip()[:300]
