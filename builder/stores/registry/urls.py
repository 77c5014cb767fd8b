"""Where requests may go: https, or http to this machine or where the user allowed it; never where a server smuggles us."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from builder.errors import StoreError

_LOOPBACK = re.compile(r"localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1")
_UGLY = re.compile(r"[^!-~]")
INSECURE = "--insecure-registry, or [store] insecure = true,"
_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """True for `localhost`, 127.0.0.0/8 and [::1], with or without a port."""
    return _LOOPBACK.fullmatch(urlsplit(f"//{host}").hostname or "") is not None


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: a credential is for one of these (RFC 6454)."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or ""), parts.port or _PORTS.get(parts.scheme, 0)


def base_url(host: str, insecure: bool) -> str:
    return f"{'http' if insecure or is_loopback(host) else 'https'}://{host}"


def resolve(base: str, location: str, insecure: bool, *, secret: bool = False) -> str:
    """A Location (RFC 9110, 10.2.2), or a token server's realm, as an absolute URL, its query string untouched.

    `insecure` allows plain http; where `secret` things will be sent there, to the base's own host alone.
    Raises StoreError when it is empty, has blanks, control characters or a user in it, or would leave https.
    """
    if not location or _UGLY.search(location):
        raise _unusable(base, location)
    try:
        url = urljoin(base, location)
        scheme, name, _ = origin(url)
    except ValueError as error:
        raise _unusable(base, location) from error
    if scheme not in _PORTS or not name or "@" in urlsplit(url).netloc:
        raise _unusable(base, location)
    allowed = insecure and (not secret or name == origin(base)[1])
    if scheme == "http" and not allowed and not is_loopback(urlsplit(url).netloc):
        hint = f"a proxy in front of a registry must pass X-Forwarded-Proto on; {INSECURE} allows plain http to its own host"
        raise StoreError(f"{urlsplit(base).netloc}: the registry sends us to http://{name}, without encryption", hint)
    return url


def _unusable(base: str, location: str) -> StoreError:
    text = f"{urlsplit(base).netloc}: the registry sends us to what is no usable URL: {location[:80]!r}"
    return StoreError(text, "its operator has to mend this")
