"""What a registry answered, and what an answer nobody wanted is called.

Error bodies: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from builder.errors import AuthError, StoreError
from builder.stores.registry.retry import TRANSIENT, TransientError, retry_after


class RefusedError(StoreError):
    """The registry said no. `status` is the HTTP status, `codes` are the error codes in its body."""

    def __init__(self, message: str, hint: str, status: int, codes: tuple[str, ...]) -> None:
        super().__init__(message, hint)
        self.status = status
        self.codes = codes


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: its body has been read. `url` is the last one asked, after redirects."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    @property
    def digest(self) -> str:
        """What the registry says it stored or sent; empty when it does not say."""
        return self.headers.get("Docker-Content-Digest", "").strip()


def refusal(asked: str, host: str, answer: Answer) -> StoreError | AuthError:
    """The error for a status that the caller did not want. `asked` names the repository and what was asked of it."""
    codes, said = _errors(answer.body)
    message = f"{asked}: the registry answered {answer.status}{' ' + said if said else ''}"
    if answer.status in (401, 403):
        return AuthError(message, f"docker login {host}")
    if answer.status in TRANSIENT:
        return TransientError(message, after=retry_after(answer.headers), brief=f"answers {answer.status}")
    return RefusedError(message, _HINTS.get(answer.status, "the registry's log may say more"), answer.status, codes)


_HINTS = {
    404: "check the repository's name, and create it if this registry does not do so on the first push",
    405: "this registry does not offer that",
    413: "the registry, or a proxy in front of it, limits the size of an upload",
}


def _errors(body: bytes) -> tuple[tuple[str, ...], str]:
    """The codes of an error body, and one printable line of at most 300 characters."""
    try:
        errors = json.loads(body)["errors"]
        found = [(str(error.get("code", "")), str(error.get("message", ""))) for error in errors[:5]]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return (), _printable(body[:300].decode("utf-8", "replace"))
    return tuple(code for code, _ in found), _printable("; ".join(f"{code}: {message}" for code, message in found))


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).strip()[:300]
