"""The connection to the machine that has `sbatch`: asyncssh behind plain calls, in a thread of its own.

Host keys are strict: only those of known_hosts count. What the user's ssh config says of the host (HostName, User, ProxyJump, IdentityFile)
holds. asyncssh is imported only here, when a connection is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from builder.errors import AuthError, LaunchError
from builder.settings import SlurmSettings

T = TypeVar("T")

_KEEPALIVE = 15  # seconds; asyncssh sends none unless told, and a frozen peer would hold a step for ever
_KEEPALIVES = 4
_CONNECT = 30  # seconds
_REACHABLE = "is the host up, and reachable from here?"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between tries to connect again


@dataclass(frozen=True, slots=True)
class Said:
    """What a command on the other side came to. `code` None: the connection dropped, and nobody knows."""

    code: int | None
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "replace")

    @property
    def error(self) -> str:
        return self.err.decode("utf-8", "replace").strip()


@dataclass
class Bastion:
    """One kept connection. Safe for one thread at a time. `patience`: for how long a dropped connection is tried again (seconds)."""

    settings: SlurmSettings
    patience: float = 600.0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _connection: Any = None
    _thread: threading.Thread | None = None
    _was_in: bool = False

    @property
    def name(self) -> str:
        return self.settings.bastion

    def ask(self, command: str, stdin: bytes | BinaryIO = b"", stdout: BinaryIO | None = None, patience: float | None = None) -> Said:
        """Runs a command that may run twice: tried again on a new connection when this one drops. Raises DroppedError when that goes on for
        longer than `patience` (seconds; else the bastion's own); LaunchError, AuthError when it is not let in.

        What is large comes from, and goes to, a file on disk.
        """
        longest, pause = self.patience if patience is None else patience, _FIRST_PAUSE
        since = None
        while True:
            try:
                said = self._wait(self._run(command, stdin, stdout))
                if said.code is not None:
                    return said
                error: LaunchError | AuthError = DroppedError(f"ssh to {self.name}: the connection drops, again and again", _REACHABLE)
            except DroppedError as dropped:
                error = dropped
            except (AuthError, LaunchError) as refused:
                if not self._was_in:
                    raise
                error = refused  # who was let in before will be again: a directory of users is away, say
            since = since or time.monotonic()
            if time.monotonic() - since >= longest:
                raise error
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - so that not all steps come back at once
            pause = min(2 * pause, _LONGEST_PAUSE)

    def close(self) -> None:
        if self._thread is not None:
            self._wait(self._forget())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._thread = None
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop.run_forever, name="bastion", daemon=True)
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _run(self, command: str, stdin: bytes | BinaryIO = b"", stdout: BinaryIO | None = None) -> Said:
        import asyncssh

        try:
            connection = await self._connected()
            done = await connection.run(command, encoding=None, check=False, **_streams(stdin, stdout))
        except (asyncssh.Error, asyncssh.KeyImportError, OSError, asyncio.TimeoutError) as error:  # the last is no OSError in Python 3.10
            await self._forget()
            raise _translated(error, self.settings) from error
        if done.exit_status is None:  # no error, but the connection is gone
            await self._forget()
        return Said(done.exit_status, bytes(done.stdout or b""), bytes(done.stderr or b""))

    async def _connected(self) -> Any:
        if self._connection is None:
            import asyncssh

            self._connection = await asyncio.wait_for(asyncssh.connect(**_how(self.settings)), _CONNECT)
            self._was_in = True
        return self._connection

    async def _forget(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.abort()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(connection.wait_closed(), _CONNECT)


def _streams(stdin: bytes | BinaryIO, stdout: BinaryIO | None) -> dict[str, Any]:
    """For asyncssh, which closes the descriptors that it gets. Files begin anew: this may be the second try."""
    import asyncssh

    given: dict[str, Any] = {}
    if not isinstance(stdin, bytes):
        stdin.seek(0)
        given["stdin"] = os.dup(stdin.fileno())
    elif stdin:
        given["input"] = stdin
    else:
        given["stdin"] = asyncssh.DEVNULL  # else it stays open, and a remote reader waits for ever
    if stdout is not None:
        stdout.seek(0)
        stdout.truncate()
        given["stdout"] = os.dup(stdout.fileno())
    return given


class DroppedError(LaunchError):
    """The other side cannot be reached at the moment."""


def _how(settings: SlurmSettings) -> dict[str, Any]:
    host, _, port = settings.bastion.partition(":")
    given: dict[str, Any] = {"host": host, "keepalive_interval": _KEEPALIVE, "keepalive_count_max": _KEEPALIVES}
    given["known_hosts"] = _host_keys(settings)
    if port:
        given["port"] = int(port)
    if settings.user:
        given["username"] = settings.user
    if key := _identity(settings):
        given |= {"client_keys": [key], "agent_path": None}
    return given


def _host_keys(settings: SlurmSettings) -> Any:
    import asyncssh

    if not settings.host_key:
        return str(Path(settings.known_hosts).expanduser())
    return ([asyncssh.import_public_key(settings.host_key)], [], [])


def _identity(settings: SlurmSettings) -> Any:
    """The private key: in a variable where there is one of that name, else in a file; None leaves it to the agent and to ~/.ssh."""
    import asyncssh

    if settings.identity_env and os.environ.get(settings.identity_env):
        return asyncssh.import_private_key(os.environ[settings.identity_env])
    return str(Path(settings.identity_file).expanduser()) if settings.identity_file else None


def _translated(error: Exception, settings: SlurmSettings) -> LaunchError | AuthError:
    import asyncssh

    where = f"ssh to {settings.bastion}"
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        known = "[launch.STEP.slurm] host_key" if settings.host_key else f"in {settings.known_hosts}"
        return LaunchError(f"{where}: its host key is not {known}", _host_key_hint(settings))
    if isinstance(error, asyncssh.PermissionDenied):
        return AuthError(f"{where}: permission denied", "look at [launch.STEP.slurm] user and identity_file, and at the agent")
    if isinstance(error, (FileNotFoundError, asyncssh.KeyImportError)):
        return LaunchError(f"{where}: {error}", "look at [launch.STEP.slurm] identity_file, identity_env, known_hosts and host_key")
    return DroppedError(f"{where}: {str(error) or type(error).__name__}", _REACHABLE)


def _host_key_hint(settings: SlurmSettings) -> str:
    host, _, port = settings.bastion.partition(":")
    return f"compare it with what your administrator says: ssh-keyscan -t ed25519 {f'-p {port} ' if port else ''}{host}"
