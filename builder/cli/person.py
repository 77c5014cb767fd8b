"""Who it is that a command works for: the name that runs, schedules and boxes carry."""

from __future__ import annotations

import getpass
import os


def who() -> str:
    """In CI who started the build, as the CI system calls him; elsewhere the user of this machine."""
    from builder.forge.here import where_we_are

    return where_we_are(os.environ, lambda _: b"").who or _user()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return f"uid {os.getuid()}"
