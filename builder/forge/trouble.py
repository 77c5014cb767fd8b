"""A connection that failed, in words."""

from __future__ import annotations

from builder.errors import ForgeError
from builder.stores.registry.retry import TransientError

_LOOK = "look at url in [forge]"
_LATER = "the forge or the network is in trouble: run the job again later"


def broken(text: str, error: Exception) -> ForgeError | TransientError:
    """`text` says what could not be done, and at which host. What cannot pass by itself is no TransientError."""
    import urllib3.exceptions as u3

    if isinstance(error, u3.NameResolutionError):
        return ForgeError(f"{text}: no such host", f"{_LOOK}, and at the network")
    if isinstance(error, u3.SSLError):
        return ForgeError(f"{text}: its certificate is not trusted here, or it speaks no TLS", _LOOK)
    if isinstance(error, u3.TimeoutError) and not isinstance(error, u3.NewConnectionError):
        return TransientError(f"{text} does not answer", _LATER)
    if isinstance(error, (u3.NewConnectionError, u3.ProtocolError, u3.IncompleteRead, OSError)):
        return TransientError(f"{text}: {_system(error)}", _LATER)
    return ForgeError(f"{text} does not speak HTTP as it should", _LOOK)


def _system(error: BaseException) -> str:
    """The operating system's words, wherever they are kept; a URL is in none of them."""
    causes = (error, error.__cause__, *error.args)
    said = next((item.strerror for item in causes if isinstance(item, OSError) and item.strerror), "")
    return said.lower() or "the connection broke off"
