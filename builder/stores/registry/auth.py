"""Which Authorization header a request carries: none, basic, or a bearer token.

https://distribution.github.io/distribution/spec/auth/token/ and .../oauth/
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from builder.errors import AuthError
from builder.stores.registry.credentials import Credential, Credentials

Grant = tuple[str, str]
"""A repository's name and what may be done there: pull, push or delete."""
Grants = frozenset[Grant]

FetchToken = Callable[[str, "str | None", str], bytes]
"""(url, form or None, Authorization or "") -> the body of a 200 answer. POST when there is a form, else GET."""

_PARAMETER = re.compile(r'([a-zA-Z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_TOKEN = re.compile(r"[\x21-\x7e]+\Z")
_LIFE = 60.0  # seconds, when the server does not say: the token spec's "expires_in"
_CLIENT = "builder"


def pull(*names: str) -> Grants:
    return frozenset((name, "pull") for name in names)


def push(name: str) -> Grants:
    return frozenset({(name, "pull"), (name, "push")})


def scopes(grants: Iterable[Grant]) -> list[str]:
    """`repository:<name>:<actions>`, one for each repository, sorted."""
    actions: dict[str, list[str]] = {}
    for name, action in sorted(grants):
        actions.setdefault(name, []).append(action)
    return [f"repository:{name}:{','.join(these)}" for name, these in actions.items()]


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a WWW-Authenticate header asks for. `scheme` is `basic`, `bearer` or empty."""

    scheme: str = ""
    realm: str = ""
    service: str = ""

    @classmethod
    def parse(cls, headers: Iterable[str]) -> Challenge:
        """The best of several challenges: bearer, then basic (RFC 9110, 11.6.1)."""
        found = {}
        for header in headers:
            for part in re.split(r",\s*(?=[A-Za-z]+ +[A-Za-z_]+ *=)", header):
                scheme, _, rest = part.strip().partition(" ")
                found[scheme.lower()] = {key.lower(): quoted or bare for key, quoted, bare in _PARAMETER.findall(rest)}
        for scheme in ("bearer", "basic"):
            if scheme in found:
                return cls(scheme, found[scheme].get("realm", ""), found[scheme].get("service", ""))
        return cls()


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token: what was asked for, and until when (on `clock`) it is sent; 0 once it was refused."""

    value: str = field(repr=False)
    challenge: Challenge
    grants: Grants
    until: float


class Authorizer:
    """The credentials of one registry host. Tokens are kept by (realm, service, grants) and renewed before they expire.

    Several threads may ask at once: one of them fetches, the others wait for it.
    """

    def __init__(self, host: str, credentials: Credentials, fetch: FetchToken, clock: Callable[[], float] = time.monotonic) -> None:
        self._host, self._credentials, self._fetch, self._clock = host, credentials, fetch, clock
        self._lock = threading.RLock()
        self._challenge = Challenge()
        self._tokens: list[Token] = []
        self._credential: Credential | None = None
        self._asked = False

    def header(self, grants: Grants) -> str:
        """The Authorization header for a request that needs these grants; empty until the server has asked for one."""
        with self._lock:
            if self._challenge.scheme == "basic":
                return self._basic()
            return f"Bearer {self._token(grants).value}" if self._challenge.scheme == "bearer" else ""

    def renew(self, challenges: Iterable[str], grants: Grants, used: str) -> str:
        """After a 401 to a request that carried `used`: another header worth trying, or "" when there is none."""
        with self._lock:
            if self._challenge.scheme and self.header(grants) != used:
                return self.header(grants)  # another thread was here first, or the token's time is over
            challenge = Challenge.parse(challenges)
            if challenge.scheme:
                self._challenge = challenge
            self._tokens = [replace(token, until=0.0) if f"Bearer {token.value}" == used else token for token in self._tokens]
            if used.startswith("Basic"):
                self._asked = False  # a password may be short-lived: ECR's lives for 12 hours
            header = self.header(grants)
            return header if header != used else ""

    def basic(self) -> str:
        """The header with user and password; empty when there are none."""
        with self._lock:
            return self._basic()

    @property
    def sent(self) -> str:
        """For people: whether the server knew who asks."""
        if self._credential:
            return "it does not accept the credentials it got, or they do not allow that"
        return "no credentials are known for it"

    def hide(self, text: str) -> str:
        """The text without any secret that this authorizer knows: a server may echo what it was sent."""
        known = self._credential
        secrets = [token.value for token in self._tokens] + ([known.password, known.identity_token, known.basic[6:]] if known else [])
        for secret in filter(None, secrets):
            text = text.replace(secret, "***")
        return text

    def _basic(self) -> str:
        credential = self._who()
        return credential.basic if credential and credential.username else ""

    def _who(self) -> Credential | None:
        if not self._asked:
            self._credential, self._asked = self._credentials(self._host), True
        return self._credential

    def _token(self, grants: Grants) -> Token:
        wide = [token for token in self._tokens if token.challenge == self._challenge and grants <= token.grants]
        for token in wide:
            if token.until and self._clock() < token.until:
                return token
        fresh = self._new_token(wide[0].grants if wide else grants)  # renewed as it was: a look in mid-push keeps the right to push
        self._tokens = [token for token in self._tokens if not token.grants <= fresh.grants] + [fresh]
        return fresh

    def _new_token(self, grants: Grants) -> Token:
        asked = self._clock()
        credential = self._who()
        if credential and credential.identity_token:
            form = [("grant_type", "refresh_token"), ("service", self._challenge.service), ("client_id", _CLIENT)]
            form += [("scope", " ".join(scopes(grants))), ("refresh_token", credential.identity_token)]
            answer = self._fetch(self._challenge.realm, urlencode(form), "")
        else:
            query = urlencode([("service", self._challenge.service), *(("scope", scope) for scope in scopes(grants))])
            url = self._challenge.realm + ("&" if "?" in self._challenge.realm else "?") + query
            answer = self._fetch(url, None, self._basic())
        value, life = self._read(answer)
        return Token(value, self._challenge, grants, asked + life - min(10.0, life / 4))

    def _read(self, answer: bytes) -> tuple[str, float]:
        """The token and its life in seconds. The answer itself never gets into a message: it holds secrets."""
        try:
            raw = json.loads(answer)
            value, life = raw.get("token") or raw.get("access_token"), raw.get("expires_in")
        except (ValueError, AttributeError, RecursionError) as error:
            raise self._unusable() from error
        if not isinstance(value, str) or not _TOKEN.match(value):
            raise self._unusable()
        return value, float(life) if isinstance(life, (int, float)) and life > 0 else _LIFE

    def _unusable(self) -> AuthError:
        return AuthError(
            f"{self._host}: its token server {self._challenge.realm} answered without a usable token", f"docker login {self._host}"
        )
