"""Requests to GitHub's REST API: the token, pages, limits, and errors in our words.

https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
"""

from __future__ import annotations

import errno
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import builder
from builder.errors import ForgeError
from builder.forge.trouble import broken
from builder.stores.registry.patience import Notice, silent
from builder.stores.registry.retry import Retry, TransientError, retry_after
from builder.stores.registry.urls import origin

if TYPE_CHECKING:
    import urllib3

_VERSION = "2022-11-28"
_MIB = 1024 * 1024
_LIMIT = 8 * _MIB
_PAGES = 30
_HOPS = 3
_PATIENCE = 120.0
"""Seconds: a limit that lasts longer is not waited for."""
_IN_VAIN = 20.0
"""Seconds that a report may lose, in all its requests, to a forge that does not answer, or answers that it is in trouble."""
_CHUNK = 64 * 1024
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


class _LimitError(TransientError):
    """The forge is well, and says when it answers again."""


class Api:
    """`url` is where the API is, such as https://api.github.com; the token goes nowhere else, and into no message.

    One request may take `timeout` seconds. `notice` hears of what is tried again. `clock` is injected by tests.
    """

    def __init__(
        self,
        url: str,
        token: str,
        retry: Retry | None = None,
        timeout: float = 10.0,
        notice: Notice = silent,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        import urllib3

        self._url, self._token = url, token
        retry = retry or Retry(tries=4, first=1.0, longest=60.0)
        self._retry = replace(retry, tell=lambda error, _: notice(f"{error.message}; trying again"))
        self._timeout, self._clock, self._left = timeout, clock, _IN_VAIN
        self._pool = urllib3.PoolManager(retries=False)

    def call(self, method: str, path: str, what: str, body: object = None, ok: tuple[int, ...] = (200,)) -> Reply:
        """`what` completes "cannot ..." for people; an answer with a status not in `ok` is a ForgeError. What may pass is tried again."""
        try:
            return self._retry.run(lambda _: self._counted(method, f"{self._url}{path}", what, body, ok))
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

    def _counted(self, method: str, url: str, what: str, body: object, ok: tuple[int, ...]) -> Reply:
        """As `_once`; but when too much time was lost in vain, nothing is tried again."""
        began = self._clock()
        try:
            return self._once(method, url, what, body, ok)
        except _LimitError:
            raise
        except TransientError as error:
            self._left -= self._clock() - began + error.after
            if self._left <= 0:
                raise ForgeError(f"{error.message}; it was given {_IN_VAIN:.0f} s", error.hint) from None
            raise

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
        import urllib3

        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": _VERSION,
            "User-Agent": f"builder/{builder.__version__}",
            "Authorization": f"Bearer {self._token}",
        }
        sent = None if body is None else json.dumps(body).encode()
        patience = min(self._timeout, max(self._left, 1.0))
        until = self._clock() + patience
        try:
            answer = self._pool.urlopen(
                method, url, body=sent, headers=headers, redirect=False, preload_content=False, timeout=urllib3.Timeout(total=patience)
            )
            data = self._read(answer, until)
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise broken(f"cannot {what}: {self._host}", error) from None
        if len(data) > _LIMIT:
            raise ForgeError(f"cannot {what}: the answer of {self._host} is longer than {_LIMIT} bytes", "look at url in [forge]")
        return self._reply(answer.status, answer.headers, data, what)

    def _read(self, answer: urllib3.BaseHTTPResponse, until: float) -> bytes:
        """As much as counts. A forge that sends a byte now and then does not answer, either: TimeoutError."""
        data = bytearray()
        while len(data) <= _LIMIT and (chunk := answer.read1(_CHUNK)):
            data += chunk
            if self._clock() > until:
                answer.close()
                raise TimeoutError(errno.ETIMEDOUT, "its answer does not end")
        return bytes(data)

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
            return _LimitError(text, "the token's limit of requests is reached: run the job again later", wait)
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


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).strip()[:300]
