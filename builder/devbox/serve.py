"""What runs in a box: an ssh server of this tool, so that the image needs none, and the look at whether anybody is still there.

Its log is for whoever may read it through Kubernetes: the first line is the host's key, later ones say how it stands.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from builder.data.ledger import now
from builder.devbox import contract
from builder.devbox.idle import Idle, in_words, processor_seconds
from builder.devbox.session import serve

_KEPT = Path(contract.HOME) / ".builder-devbox" / "host_key"
_LOOK_EVERY = 30.0  # seconds
_ALIVE = 30  # seconds without an answer, three times: then a connection is gone


def main() -> None:
    asyncio.run(_serve(float(os.environ[contract.IDLE])))


async def _serve(limit: float) -> None:
    import asyncssh

    connections: set[object] = set()

    class Server(asyncssh.SSHServer):
        def connection_made(self, _: asyncssh.SSHServerConnection) -> None:
            connections.add(self)

        def connection_lost(self, _: Exception | None) -> None:
            connections.discard(self)

        def connection_requested(self, *_: object) -> bool:
            return True  # to what listens in the pod: editors and notebooks

        def unix_connection_requested(self, _: str) -> bool:
            return True

    key = _host_key()
    _say(f"{contract.HOST_KEY}{key.export_public_key().decode().strip()}")
    options: dict[str, Any] = {"sftp_factory": True, "allow_scp": True, "line_editor": False, "encoding": None}
    allowed = asyncssh.import_authorized_keys(os.environ[contract.KEYS])
    await asyncssh.listen(
        "",
        contract.PORT,
        server_factory=Server,
        server_host_keys=[key],
        authorized_client_keys=allowed,
        process_factory=serve,
        keepalive_interval=_ALIVE,
        **options,
    )
    asked_to_go = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked_to_go.set)  # the first process of a pod has no default for it
    watch = asyncio.create_task(_until_idle(connections, limit))
    await asyncio.wait([watch, asyncio.create_task(asked_to_go.wait())], return_when=asyncio.FIRST_COMPLETED)


def _host_key() -> Any:
    """The same as long as the home stays, so that nobody is asked about another host."""
    import asyncssh

    if _KEPT.exists():
        return asyncssh.read_private_key(str(_KEPT))
    key = asyncssh.generate_private_key("ssh-ed25519", comment="builder devbox")
    _KEPT.parent.mkdir(mode=0o700, exist_ok=True)
    aside = _KEPT.with_suffix(".new")
    key.write_private_key(str(aside))
    aside.chmod(0o600)
    aside.replace(_KEPT)
    return key


async def _until_idle(connections: set[object], limit: float) -> None:
    idle, told = Idle(time.monotonic(), time.monotonic(), processor_seconds()), contract.BUSY
    while (left := idle.left(limit)) > 0:
        await asyncio.sleep(min(_LOOK_EVERY, max(1.0, limit / 4), left))
        idle = idle.seen(time.monotonic(), len(connections), processor_seconds())
        state = contract.BUSY if idle.since == idle.looked else _idle_words(limit)
        if (state == contract.BUSY) != (told == contract.BUSY):
            _say(state)
            told = state
    _say(f"nobody was here, and nothing worked, for {in_words(round(limit))}: this box stops; its home stays")


def _idle_words(limit: float) -> str:
    return f"{contract.IDLE_SINCE}stops after {in_words(round(limit))} of it"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n" if text.startswith(contract.HOST_KEY) else f"{now()} {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
