"""The key that a bastion offers to whoever asks: for a person to compare, never to be trusted by itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from builder.settings import SlurmSettings

_PATIENCE = 10  # seconds


@dataclass(frozen=True, slots=True)
class HostKey:
    """`public` is its type and the key, `line` the line of known_hosts, `fingerprint` as ssh prints it."""

    public: str
    line: str
    fingerprint: str


def offered(settings: SlurmSettings) -> HostKey | None:
    """Over the way that the user's ssh config says. None when nothing answers."""
    import asyncssh

    host, _, port = settings.bastion.partition(":")
    try:
        asked = asyncssh.SSHClientConnectionOptions(host=host, port=int(port) if port else ())
        key = asyncio.run(asyncio.wait_for(asyncssh.get_server_host_key(host, options=asked), _PATIENCE))
    except (asyncssh.Error, OSError, asyncio.TimeoutError):
        return None
    if key is None:
        return None
    public = " ".join(key.export_public_key("openssh").decode().split()[:2])
    name = asked.host_key_alias or (asked.host if asked.port == asyncssh.DEFAULT_PORT else f"[{asked.host}]:{asked.port}")
    return HostKey(public, f"{name} {public}", key.get_fingerprint())
