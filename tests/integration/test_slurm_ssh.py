"""How the bastion is reached: by the user's ssh config, an agent's key, one in a file or a variable; and other host keys than ours."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builder.errors import AuthError, LaunchError
from builder.launch.slurm.bastion import Bastion
from builder.settings import SlurmSettings
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import SlurmServer
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]

CONFIG = """
Host jump
  HostName 127.0.0.1
  Port {jump}
  User root
  IdentityFile {keys}/user
Host login
  HostName 127.0.0.1
  Port {port}
  User root
  IdentityFile {keys}/user
  ProxyJump jump
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without keys, and nobody's agent."""
    (tmp_path / ".ssh").mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path


@pytest.fixture
def plain(slurm: SlurmServer) -> SlurmSettings:
    """Without a key."""
    return replace(slurm.settings(Path("/nowhere")), identity_file="")


def said(settings: SlurmSettings) -> str:
    bastion = Bastion(settings)
    try:
        return bastion.ask("id -un; echo $SSH_CONNECTION").text
    finally:
        bastion.close()


def test_by_the_users_ssh_config_through_another_host(home: Path, slurm: SlurmServer, plain: SlurmSettings) -> None:
    host, _, port = slurm.bastion.partition(":")
    jump = Proxy((host, int(port)))
    try:
        (home / ".ssh/config").write_text(CONFIG.format(jump=jump.port, port=port, keys=slurm.ssh))
        known = (slurm.ssh / "known_hosts").read_text()
        (home / ".ssh/known_hosts").write_text(known + known.replace(f":{port} ", f":{jump.port} "))
        by_config = replace(plain, bastion="login", user="", known_hosts="~/.ssh/known_hosts")
        bastion = Bastion(by_config)
        try:
            assert bastion.ask("id -un").text == "root\n"
            assert jump.sent > 0
            assert jump.cut() == 1
            assert bastion.ask("echo again").text == "again\n"
        finally:
            bastion.close()
        (home / ".ssh/known_hosts").write_text(known)
        with pytest.raises(LaunchError, match="host key"):
            said(by_config)
    finally:
        jump.close()


@pytest.fixture
def agent(home: Path, slurm: SlurmServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One that holds the user's key."""
    place = home / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(place)], stdout=subprocess.DEVNULL)
    try:
        until(place.exists, every=0.05)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
        subprocess.run(["ssh-add", "-q", str(slurm.ssh / "user")], check=True, capture_output=True)
        yield
    finally:
        process.terminate()
        process.wait()


def test_with_an_agents_key(agent: None, plain: SlurmSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(plain).startswith("root\n")
    monkeypatch.delenv("SSH_AUTH_SOCK")
    with pytest.raises(AuthError, match="permission denied"):
        said(plain)


def test_with_a_key_in_a_file_or_in_a_variable(
    home: Path, slurm: SlurmServer, plain: SlurmSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = home / "mounted"
    mounted.write_bytes((slurm.ssh / "user").read_bytes())
    assert said(replace(plain, identity_file="~/mounted")).startswith("root\n")
    monkeypatch.setenv("SLURM_KEY", mounted.read_text())
    assert said(replace(plain, identity_env="SLURM_KEY")).startswith("root\n")
    monkeypatch.setenv("SLURM_KEY", "no key at all")
    with pytest.raises(LaunchError, match="ssh to"):
        said(replace(plain, identity_env="SLURM_KEY"))


def test_a_host_with_another_key(home: Path, slurm: SlurmServer, plain: SlurmSettings) -> None:
    other = home / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    host, _, port = slurm.bastion.partition(":")
    key = " ".join((home / "other.pub").read_text().split()[:2])
    known = home / "known"
    known.write_text(f"[{host}]:{port} {key}\n")
    let_in = replace(plain, identity_file=str(slurm.ssh / "user"))
    for settings in (replace(let_in, known_hosts=str(known)), replace(let_in, host_key=key)):
        with pytest.raises(LaunchError, match="its host key is not") as caught:
            said(settings)
        assert "ssh-keyscan" in caught.value.hint
    assert said(let_in).startswith("root\n")
    assert os.environ["HOME"] == str(home)
