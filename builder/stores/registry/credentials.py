"""Who we are to a registry: what `docker login` left behind, or AWS for ECR. Asked for only after a server said 401."""

from __future__ import annotations

import base64
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from builder.errors import AuthError
from builder.model.reference import DOCKER_HUB


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and password, or an identity token (an OAuth2 refresh token) from a credential helper. Its repr shows no secret."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


Credentials = Callable[[str], "Credential | None"]
"""From a registry's host to what it is told; None means anonymous."""


def find_credential(host: str) -> Credential | None:
    """Docker's configuration first; for an ECR host without an entry there, AWS."""
    from builder.stores.registry import ecr

    return docker_credential(host) or (ecr.credential(host) if ecr.region(host) else None)


def docker_credential(host: str) -> Credential | None:
    """What docker's config, credential helpers and credential store say about the host; DOCKER_CONFIG is honoured.

    docker.auth costs 200 ms to import: a config that cannot concern the host is not shown to it.
    """
    key = "docker.io" if host == DOCKER_HUB else host
    if not _may_know(key):
        return None
    import docker.auth
    from docker.errors import DockerException

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a helper that is not there: the error below says so
            entry = docker.auth.load_config().resolve_authconfig(key) or {}
    except (DockerException, ValueError) as error:
        raise AuthError(f"{host}: Docker's configuration has no usable credentials: {type(error).__name__}", _login(host)) from error
    found = {name.lower(): value for name, value in entry.items()}
    if token := found.get("identitytoken"):
        return Credential(identity_token=token)
    return Credential(found["username"], found["password"]) if found.get("username") else None


def _may_know(key: str) -> bool:
    folder = os.environ.get("DOCKER_CONFIG")  # Docker's own variable, read where docker.auth will read it
    files = [Path(folder) / "config.json"] if folder else [Path.home() / ".docker/config.json", Path.home() / ".dockercfg"]
    for file in files:
        try:
            text = file.read_text()
        except OSError:
            continue
        return file.name == ".dockercfg" or key in text or '"credsStore"' in text
    return False


def _login(host: str) -> str:
    return f"docker login {host}"
