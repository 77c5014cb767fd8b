"""Requests to one repository over one connection pool: credentials, redirects, retries, and errors in our words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import builder
from builder.errors import AuthError, BuilderError, StoreError
from builder.model.reference import Repository
from builder.stores.registry.answers import Answer, refusal
from builder.stores.registry.auth import Authorizer, Grants
from builder.stores.registry.credentials import Credentials
from builder.stores.registry.patience import Patience
from builder.stores.registry.retry import TRANSIENT, Retry, TransientError
from builder.stores.registry.urls import INSECURE, base_url, origin, resolve

if TYPE_CHECKING:
    import urllib3

MIB = 1024 * 1024
POOL = 8
"""Connections that stay open; more threads than this open a new one for each request."""
_AGENT = {"User-Agent": f"builder/{builder.__version__}", "Accept-Encoding": "identity"}
_HOPS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `what` completes "cannot ..." for people; `ok` are the statuses its caller understands.

    `body` is bytes, or gives the chunks anew each time it is called (then `headers` holds Content-Length).
    An answer longer than `limit` bytes is an error. `basic`: it goes to an API beside the registry's, which takes a password, no token.
    """

    method: str
    url: str
    what: str
    grants: Grants = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Callable[[], Iterable[bytes]] = b""
    ok: frozenset[int] = frozenset({200})
    limit: int = 8 * MIB
    basic: bool = False


class Client:
    """Talks to `repository`. Its methods may be called from several threads."""

    def __init__(
        self, repository: Repository, *, insecure: bool, credentials: Credentials, retry: Retry, timeout: float, patience: Patience
    ) -> None:
        import urllib3

        self.repository = repository
        self.retry = replace(retry, tell=patience.again)
        self._patience = patience
        self._insecure = insecure
        self._origin = base_url(repository.host, insecure)
        self._authorizer = Authorizer(repository.host, credentials, self._fetch_token, retry.clock)
        self._pool = urllib3.PoolManager(maxsize=POOL, timeout=urllib3.Timeout(connect=min(timeout, 20.0), read=timeout), retries=False)
        self._lock = threading.Lock()
        self.requests = 0

    def url(self, path: str) -> str:
        """`path` is relative to /v2/<name>/."""
        return f"{self._origin}/v2/{self.repository.name}/{path}"

    def root(self, path: str) -> str:
        """`path` is relative to the registry's host."""
        return f"{self._origin}/{path}"

    def location(self, answer: Answer) -> str:
        """Where an answer sends us, checked."""
        return resolve(answer.url, answer.headers.get("Location", ""), self._insecure)

    def send(self, call: Call) -> Answer:
        """The answer, after as many tries as `retry` allows. Raises StoreError for a status that is not in `call.ok`."""
        return self.retry.run(lambda _: self.once(call))

    def once(self, call: Call) -> Answer:
        """Like `send`, but a failure that may pass is a TransientError at once."""
        response, url = self._follow(call)
        answer = Answer(response.status, response.headers, self._read(call, response), url)
        if answer.status not in call.ok:
            raise self.refusal(call, answer)
        self._patience.answered()
        return answer

    def open(self, call: Call) -> urllib3.BaseHTTPResponse:
        """The answer with its body still to be read (`read_chunk`), by the caller, who closes it. One try."""
        response, url = self._follow(call)
        if response.status in call.ok:
            return response
        raise self.refusal(call, Answer(response.status, response.headers, self._read(call, response), url))

    def read_chunk(self, call: Call, response: urllib3.BaseHTTPResponse, size: int) -> bytes:
        """The next bytes of a body, at most `size`; empty at its end. TransientError when the connection breaks."""
        import urllib3.exceptions

        try:
            return response.read(size)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:  # ValueError: a negative chunk
            response.close()
            raise self._broken(call, error) from error

    def challenge(self) -> str:
        """What the registry asks of somebody whom it does not know; empty when it lets everybody in."""
        call = Call("GET", self.root("v2/"), "ask who may come in", ok=frozenset({200, 401}))

        def ask(_: int) -> str:
            response = self._exchange(call, call.url, "")
            answer = Answer(response.status, response.headers, self._read(call, response), call.url)
            if answer.status not in call.ok:
                raise self.refusal(call, answer)
            return answer.headers.get("WWW-Authenticate", "")

        return self.retry.run(ask)

    def close(self) -> None:
        self._pool.clear()

    def refusal(self, call: Call, answer: Answer) -> StoreError | AuthError:
        """The error for an answer that nobody wanted."""
        error = refusal(self._asked(call), self.repository.host, answer)
        said = f"; {self._authorizer.sent}" if isinstance(error, AuthError) else ""
        error.message = self._authorizer.hide(error.message) + said
        error.args = (error.message,)
        return error

    def _asked(self, call: Call) -> str:
        return f"{self.repository}: cannot {call.what}"

    def _follow(self, call: Call) -> tuple[urllib3.BaseHTTPResponse, str]:
        """Follows redirects of GET and HEAD. Credentials go to the registry's own origin alone."""
        url = call.url
        for _ in range(_HOPS):
            response = self._authorized(call, url) if origin(url) == origin(self._origin) else self._exchange(call, url, "")
            if call.method not in ("GET", "HEAD") or response.status not in _REDIRECTS:
                return response, url
            headers = response.headers
            self._read(call, response)
            url = resolve(url, headers.get("Location", ""), self._insecure)
        raise StoreError(
            f"{self._asked(call)}: more than {_HOPS} redirects", "the registry sends us in circles: its operator has to mend this"
        )

    def _authorized(self, call: Call, url: str) -> urllib3.BaseHTTPResponse:
        """Answers up to two challenges: the first request has no token yet, and the next one's may have expired."""
        if call.basic:
            return self._exchange(call, url, self._authorizer.basic())
        header = self._authorizer.header(call.grants)
        for _ in range(2):
            response = self._exchange(call, url, header)
            if response.status != 401:
                return response
            try:
                header = self._authorizer.renew(response.headers.getlist("WWW-Authenticate"), call.grants, header)
            except BuilderError:
                response.close()
                raise
            if not header:
                return response
            self._read(call, response)
        return self._exchange(call, url, header)

    def _exchange(self, call: Call, url: str, authorization: str) -> urllib3.BaseHTTPResponse:
        import urllib3.exceptions

        headers = {**_AGENT, **call.headers, **({"Authorization": authorization} if authorization else {})}
        with self._lock:
            self.requests += 1
        try:
            with self._patience.waiting() as sent:
                return self._pool.urlopen(
                    call.method, url, body=_body(call, sent), headers=headers, redirect=False, preload_content=False, decode_content=False
                )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._broken(call, error) from error

    def _broken(self, call: Call, error: Exception) -> StoreError:
        """A connection that failed. What cannot pass by itself (no such host, a bad certificate) is not tried again."""
        import urllib3.exceptions as u3

        text = f"{self._asked(call)}: {_reason(error)}"
        if isinstance(error, u3.NameResolutionError):
            return StoreError(f"{text}: no such host", "check the registry's name and your network")
        if isinstance(error, u3.SSLError):
            return StoreError(text, f"the certificate is not trusted here; if it speaks plain http, {INSECURE} allows that")
        passing = isinstance(error, (u3.ProtocolError, u3.TimeoutError, u3.NewConnectionError, OSError))
        return (
            TransientError(text, brief=f"fails ({_reason(error)})")
            if passing
            else StoreError(text, "the registry does not speak HTTP as it should")
        )

    def _read(self, call: Call, response: urllib3.BaseHTTPResponse) -> bytes:
        """The whole body, up to the call's limit; the connection goes back into the pool."""
        data = bytearray()
        while chunk := self.read_chunk(call, response, min(MIB, call.limit + 1 - len(data))):
            data += chunk
            if len(data) > call.limit:
                response.close()
                raise StoreError(f"{self._asked(call)}: the answer is longer than {call.limit} bytes", "is this a container registry?")
        response.release_conn()
        return bytes(data)

    def _fetch_token(self, realm: str, form: str | None, authorization: str) -> bytes:
        url = resolve(self._origin, realm, self._insecure, secret=True)
        headers = {} if form is None else {"Content-Type": "application/x-www-form-urlencoded"}
        call = Call("GET" if form is None else "POST", url, "get a token", headers=headers, body=(form or "").encode(), limit=MIB)
        response = self._exchange(call, url, authorization)
        answer = Answer(response.status, response.headers, self._read(call, response), url)
        if answer.status == 200:
            return answer.body
        if answer.status in TRANSIENT:
            raise self.refusal(call, answer)
        message = f"{self.repository}: the token server {origin(url)[1]} answered {answer.status}; {self._authorizer.sent}"
        raise AuthError(message, f"docker login {self.repository.host}")


def _body(call: Call, sent: Callable[[], None]) -> bytes | Iterator[bytes] | None:
    """What is sent; says when all of it is. Sending may take long, and is no wait."""
    if isinstance(call.body, bytes):
        sent()
        return call.body or None
    return _then(call.body(), sent)


def _then(chunks: Iterable[bytes], sent: Callable[[], None]) -> Iterator[bytes]:
    yield from chunks
    sent()


def _reason(error: Exception) -> str:
    """The kind of failure; a URL in it may be signed, so that only the operating system's words are kept."""
    causes = [item for item in (error, error.__cause__, *error.args) if isinstance(item, OSError) and item.strerror]
    return str(causes[0].strerror) if causes else type(error).__name__
