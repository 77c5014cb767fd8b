"""What this machine's ssh is told of boxes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from builder.devbox.client import Client, proxy_command
from builder.errors import UsageError


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / ".ssh").mkdir()
    return Client.of({"HOME": str(tmp_path)})


def understood(client: Client, host: str) -> dict[str, str]:
    """The configuration as ssh itself reads it."""
    said = subprocess.run(["ssh", "-G", "-F", client.ssh_config, host], capture_output=True, text=True, check=True)
    return dict(line.partition(" ")[::2] for line in said.stdout.splitlines())


def test_ssh_reads_what_is_written(client: Client, tmp_path: Path) -> None:
    (tmp_path / ".ssh" / "id_own.pub").write_text("ssh-ed25519 AAAA me\n")
    (tmp_path / ".ssh" / "id_own").write_text("secret")
    client.add("ada", "ssh-ed25519 AAAAhost", ["/a b/python", "-m", "builder", "100%"])
    found = understood(client, "devbox-ada")
    assert found["user"] == "dev"
    assert found["stricthostkeychecking"] == "true"
    assert found["proxycommand"] == "'/a b/python' -m builder 100%%"
    assert found["identityfile"] == str(tmp_path / ".ssh" / "id_own")
    assert (client.config / "known_hosts").read_text() == "devbox-ada ssh-ed25519 AAAAhost\n"


def test_boxes_do_not_disturb_each_other(client: Client) -> None:
    for name in ("b", "a", "c"):
        client.add(name, f"key-{name}", ["proxy", name])
    client.add("b", "key-new", ["proxy", "new"])
    assert understood(client, "devbox-b")["proxycommand"] == "proxy new"
    assert understood(client, "devbox-c")["proxycommand"] == "proxy c"
    assert (client.config / "known_hosts").read_text().splitlines() == ["devbox-a key-a", "devbox-c key-c", "devbox-b key-new"]
    client.remove("a")
    client.remove("never")
    assert "proxycommand" not in understood(client, "devbox-a")
    assert client.ssh_config.read_text().count("Host ") == 2


def test_the_line_that_editors_need_is_found_once_it_is_there(client: Client, tmp_path: Path) -> None:
    assert not client.is_included
    (tmp_path / ".ssh" / "config").write_text(f"{client.include_line()}\nHost other\n")
    assert client.is_included


def test_whoever_has_no_key_is_told_how_to_make_one(client: Client, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no public key") as caught:
        client.public_keys()
    assert "ssh-keygen" in caught.value.hint
    (tmp_path / ".ssh" / "a.pub").write_text("ssh-ed25519 AAAA me\n")
    (tmp_path / ".ssh" / "b.pub").write_text("not a key\n\nssh-ed25519 AAAA me\nsk-ssh-ed25519@openssh.com BBBB token\n")
    assert client.public_keys() == "ssh-ed25519 AAAA me\nsk-ssh-ed25519@openssh.com BBBB token"


def test_the_proxy_finds_the_cluster_from_wherever_it_is_started() -> None:
    argv = proxy_command("ada", "team", "prod", {"KUBECONFIG": "/k"})
    assert argv[:2] == ["env", "KUBECONFIG=/k"]
    assert argv[-5:] == ["ada", "--namespace", "team", "--context", "prod"]
