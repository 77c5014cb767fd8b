"""This machine's side: the public keys that may enter a box, and what ssh has to be told of it."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder import process
from builder.devbox import contract
from builder.errors import ProcessError, ProgramMissingError, UsageError
from builder.files import write_whole

_ALIAS = "devbox-{name}"
_INCLUDE = "Include {path}"
_START = "import sys; sys.path[:] = filter(None, sys.path); from builder.cli import main; main()"
"""Not `-m builder`, which would execute what modules the directory has that ssh is started from."""


@dataclass(frozen=True, slots=True)
class Client:
    """`config` is the directory of what we write; `ssh` the user's own, `~/.ssh`."""

    config: Path
    ssh: Path

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Client:
        home = Path(environ.get("HOME") or "~").expanduser()
        base = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
        return cls(base / "builder" / "devbox", home / ".ssh")

    @property
    def ssh_config(self) -> Path:
        return self.config / "ssh_config"

    @property
    def is_included(self) -> bool:
        """Whether the user's own ssh, and so editors, know the boxes."""
        try:
            return _INCLUDE.format(path=self.ssh_config) in (self.ssh / "config").read_text()
        except OSError:
            return False

    def include_line(self) -> str:
        return _INCLUDE.format(path=self.ssh_config)

    def public_keys(self) -> str:
        """A line each: those of ~/.ssh, and of the agent. Raises UsageError when there is none."""
        files = (path.read_text().strip() for path in sorted(self.ssh.glob("*.pub")))
        lines = [line for text in (*files, _of_agent()) for line in text.splitlines()]
        keys = [line for line in dict.fromkeys(lines) if re.match(r"(ssh|ecdsa|sk)-\S+ \S+", line)]
        if not keys:
            raise UsageError(f"there is no public key in {self.ssh}, nor in the agent", "ssh-keygen -t ed25519 makes one")
        return "\n".join(keys)

    def add(self, name: str, host_key: str, proxy: list[str]) -> None:
        """Tells ssh of a box: `ssh devbox-NAME`. `proxy` is the command that reaches it."""
        self.config.mkdir(parents=True, exist_ok=True)
        known = self.config / "known_hosts"
        alias = alias_of(name)
        write_whole(known, _replaced(known, alias, f"{alias} {host_key}\n").encode())
        entry = _entry(name, proxy, known, self._identities())
        others = {other: text for other, text in self._entries().items() if other != alias}
        write_whole(self.ssh_config, "".join(text for _, text in sorted({**others, alias: entry}.items())).encode())

    def remove(self, name: str) -> None:
        alias, entries = alias_of(name), self._entries()
        if alias in entries:
            del entries[alias]
            write_whole(self.ssh_config, "".join(text for _, text in sorted(entries.items())).encode())

    def _identities(self) -> list[Path]:
        """The private keys beside the public ones; the agent's are found anyway."""
        return [path.with_suffix("") for path in sorted(self.ssh.glob("*.pub")) if path.with_suffix("").exists()]

    def _entries(self) -> dict[str, str]:
        try:
            text = self.ssh_config.read_text()
        except OSError:
            return {}
        parts = re.split(r"(?m)^(?=Host )", text)
        return {part.split()[1]: part for part in parts if part.startswith("Host ")}


def alias_of(name: str) -> str:
    """The host's name, as ssh and editors know it."""
    return _ALIAS.format(name=name)


def proxy_command(name: str, namespace: str, context: str, environ: Mapping[str, str]) -> list[str]:
    """What ssh starts to reach the box: this very tool, wherever it is started from."""
    kubeconfig = [f"KUBECONFIG={_absolute(environ['KUBECONFIG'])}"] if environ.get("KUBECONFIG") else []
    where = ["--namespace", namespace, *(["--context", context] if context else [])]
    return [*(["env", *kubeconfig] if kubeconfig else []), sys.executable, "-c", _START, "devbox", "proxy", name, *where]


def _absolute(kubeconfig: str) -> str:
    """Each of its files by its whole path."""
    return os.pathsep.join(str(Path(part).expanduser().absolute()) for part in kubeconfig.split(os.pathsep) if part)


def _entry(name: str, proxy: list[str], known: Path, identities: list[Path]) -> str:
    keys = "".join(f'  IdentityFile "{path}"\n' for path in identities)
    return (
        f"Host {alias_of(name)}\n"
        f"  User {contract.USER}\n"
        f"  HostKeyAlias {alias_of(name)}\n"
        f'  UserKnownHostsFile "{known}"\n'
        f"{keys}"
        "  StrictHostKeyChecking yes\n"
        f"  ProxyCommand {shlex.join(proxy).replace('%', '%%')}\n"
    )


def _replaced(known: Path, alias: str, line: str) -> str:
    try:
        kept = [one for one in known.read_text().splitlines(keepends=True) if one.split(" ", 1)[0] != alias]
    except OSError:
        kept = []
    return "".join([*kept, line])


def _of_agent() -> str:
    try:
        return process.run(["ssh-add", "-L"], timeout=10).text
    except (ProcessError, ProgramMissingError):
        return ""
