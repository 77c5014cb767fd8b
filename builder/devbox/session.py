"""One shell or command of somebody who is connected, with a terminal or without."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping
from typing import TYPE_CHECKING

from builder import process
from builder.devbox import contract

if TYPE_CHECKING:
    import asyncssh

_CHUNK = 1 << 16
_END = b"\x04"  # what a terminal understands as the end of input
_ON_TERMINAL = 'tty=$1; shift; exec "$@" <"$tty" >"$tty" 2>&1'
"""A session of its own whose first open terminal becomes its own (tty_ioctl(4)): then ctrl-C works there."""


async def serve(connected: asyncssh.SSHServerProcess[bytes]) -> None:
    """Runs what was asked for to its end, and tells how that was."""
    argv, env = _argv(connected.command), _environment(connected)
    tree = os.environ.get(contract.TREE) or "/"
    code = await (_on_terminal if connected.term_type else _plain)(connected, argv, env, tree)
    if code < 0:
        connected.exit_with_signal(_signal_name(-code))
    else:
        connected.exit(code)


def _argv(command: str | None) -> list[str]:
    shell = os.environ.get(contract.SHELL) or "bash"
    found = shutil.which(shell) or "/bin/sh"
    return [found, "-c", command] if command else [found]


def _environment(connected: asyncssh.SSHServerProcess[bytes]) -> dict[str, str]:
    """The image's, as if this tool were not there, with what the other side sends."""
    own = {name: value for name, value in os.environ.items() if name not in contract.OWN}
    path = os.environ.get(contract.TEAM_PATH)
    team = {"PYTHONPATH": path} if path else {}
    sent: Mapping[str, str] = connected.env
    term = {"TERM": connected.term_type} if connected.term_type else {}
    return {**own, **team, **term, **sent, "USER": contract.USER, "SHELL": _argv(None)[0]}


async def _plain(connected: asyncssh.SSHServerProcess[bytes], argv: list[str], env: Mapping[str, str], tree: str) -> int:
    child = process.start(argv, cwd=tree, env=env, own_group=True)
    await connected.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
    await connected.stdout.drain()
    await connected.stderr.drain()
    return await _ended(child)


async def _on_terminal(connected: asyncssh.SSHServerProcess[bytes], argv: list[str], env: Mapping[str, str], tree: str) -> int:
    ours, theirs = os.openpty()
    _resize(ours, connected.term_size[:2])
    nothing = subprocess.DEVNULL
    try:
        started = ["sh", "-c", _ON_TERMINAL, "sh", os.ttyname(theirs), *argv]
        child = process.start(started, cwd=tree, env=env, stdin=nothing, stdout=nothing, stderr=nothing, own_group=True)
        typing = asyncio.create_task(_typed(connected, ours, child.pid))
        shown = asyncio.create_task(_shown(connected, os.dup(ours)))
        code = await _ended(child)
    finally:
        os.close(theirs)
    await shown
    typing.cancel()
    os.close(ours)
    return code


async def _shown(connected: asyncssh.SSHServerProcess[bytes], terminal: int) -> None:
    """What the terminal shows, until nobody has it open any more: then it says EIO."""
    reader = asyncio.StreamReader(limit=_CHUNK)
    pipe = os.fdopen(terminal, "rb", 0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            connected.stdout.write(data)
            await connected.stdout.drain()
    transport.close()


async def _typed(connected: asyncssh.SSHServerProcess[bytes], terminal: int, leader: int) -> None:
    """What is typed, and how large the window is. Once the other side is gone, what runs there is hung up on."""
    import asyncssh

    while True:
        try:
            data = await connected.stdin.read(_CHUNK)
        except asyncssh.TerminalSizeChanged as size:
            _resize(terminal, (size.width, size.height))
            continue
        except (asyncssh.BreakReceived, asyncssh.SignalReceived):
            continue
        await asyncio.to_thread(_write_all, terminal, data or _END)
        if not data:
            break
    await connected.channel.wait_closed()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGHUP)


def _write_all(terminal: int, data: bytes) -> None:
    with contextlib.suppress(OSError):  # nobody has it open any more
        while data:
            data = data[os.write(terminal, data) :]


def _resize(terminal: int, size: tuple[int, int]) -> None:
    width, height = size
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height or 24, width or 80, 0, 0))


async def _ended(child: subprocess.Popen[bytes]) -> int:
    """Its exit code, or the negative number of the signal that ended it."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    handle = os.pidfd_open(child.pid)
    loop.add_reader(handle, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    return child.wait()


def _signal_name(number: int) -> str:
    return signal.Signals(number).name.removeprefix("SIG")
