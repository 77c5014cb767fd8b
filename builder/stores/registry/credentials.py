"""Who we are to a registry: what `docker login` left behind, or AWS for ECR. Asked for only after a server said 401."""

from __future__ import annotations

import base64
import json
import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from builder.errors import AuthError
from builder.model.reference import DOCKER_HUB
from builder.stores.registry.patience import Notice, silent

GITHUB = "ghcr.io"


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


def find_credential(host: str, notice: Notice = silent) -> Credential | None:
    """Docker's configuration first; for a host without an entry there, what its cloud gives. `notice` hears of a file that is of no use."""
    return docker_credential(host, notice) or _of_cloud(host)


def given_credential(host: str) -> Credential | None:
    """What the host's cloud gives, where Docker's own configuration, which Docker itself reads, has nothing."""
    if host != GITHUB and not _is_ecr(host):
        return None
    return None if docker_credential(host, silent) else _of_cloud(host)


def _of_cloud(host: str) -> Credential | None:
    """AWS for an ECR host; for GitHub's, inside of a job of GitHub Actions, the job's own token.

    https://docs.github.com/en/packages/managing-github-packages-using-github-actions-workflows
    """
    if host == GITHUB and os.environ.get("GITHUB_ACTIONS") and os.environ.get("GITHUB_TOKEN"):
        return Credential(os.environ.get("GITHUB_ACTOR") or "token", os.environ["GITHUB_TOKEN"])
    if not _is_ecr(host):
        return None
    from builder.stores.registry import ecr

    return ecr.credential(host)


def _is_ecr(host: str) -> bool:
    from builder.stores.registry import ecr

    return bool(ecr.region(host))


def docker_credential(host: str, notice: Notice = silent) -> Credential | None:
    """What docker's config, credential helpers and credential store say about the host; DOCKER_CONFIG is honoured.

    docker.auth costs 200 ms to import: a config that cannot concern the host is not shown to it.
    """
    key = "docker.io" if host == DOCKER_HUB else host
    file = _config_file()
    if file is None or not _may_know(file, key, notice):
        return None
    import docker.auth
    from docker.errors import DockerException

    helper = None
    try:
        config = docker.auth.load_config()
        helper = config.get_credential_store(key)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a helper that is not there: the error below says so
            entry = config.resolve_authconfig(key) or {}
    except (DockerException, ValueError) as error:
        raise _unusable(host, file, helper, type(error).__name__) from error
    found = {name.lower(): value for name, value in entry.items()}
    if token := found.get("identitytoken"):
        return Credential(identity_token=token)
    return Credential(found["username"], found["password"]) if found.get("username") else None


def _config_file() -> Path | None:
    folder = os.environ.get("DOCKER_CONFIG")  # Docker's own variable, read where docker.auth will read it
    files = [Path(folder) / "config.json"] if folder else [Path.home() / ".docker/config.json", Path.home() / ".dockercfg"]
    return next((file for file in files if file.is_file()), None)


def _may_know(file: Path, key: str, notice: Notice) -> bool:
    """docker.auth says nothing of a file that it cannot read: then `notice` does."""
    try:
        text = file.read_bytes().decode("utf-8")
        if file.name == ".dockercfg":
            return True
        json.loads(text)
    except OSError as error:
        notice(f"{file} cannot be read, so none of its credentials are used: {error.strerror}")
        return False
    except (ValueError, RecursionError):
        notice(f"{file} is not JSON, so none of its credentials are used")
        return False
    return key in text or '"credsStore"' in text


def _unusable(host: str, file: Path, helper: str | None, error: str) -> AuthError:
    """Nothing of what a helper wrote: that may hold a secret."""
    program = f"docker-credential-{helper}"
    if helper and shutil.which(program) is None:
        return AuthError(f"{host}: {file} leaves its credentials to {program}, which is not on PATH", f"install {program}, or take it out")
    what = f"{program} gives no usable credentials" if helper else f"{file} has no usable credentials"
    return AuthError(f"{host}: {what}: {error}", f"docker login {host}")
