"""From the settings, the CI system and the clone's remote to the forge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from builder.errors import ForgeError, without_passwords
from builder.forge.here import Here
from builder.forge.interface import Forge
from builder.settings import ForgeSettings
from builder.stores.registry.patience import Notice, silent
from builder.stores.registry.urls import is_loopback

PUBLIC = "github.com"
_API = "https://api.github.com"
_SSH = re.compile(r"(?:[^@/]+@)?(?P<host>[^:/]+):(?P<path>[^/].*)\Z")
_NAME = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+\Z")
TOKENS = ("BUILDER_FORGE_TOKEN", "GITHUB_TOKEN")
"""The environment variables with a token, where [forge] token_env names none."""


def open_forge(settings: ForgeSettings, here: Here, remote: str, environ: Mapping[str, str], notice: Notice = silent) -> Forge:
    """GitHub, or a GitHub Enterprise. `remote` is the URL that the clone came from. `notice` hears of what is tried again. Nothing is
    asked yet.

    Raises ForgeError when there is no token, or nothing says which repository it is.
    """
    from builder.forge.github import GitHub

    host, path = parts_of(remote)
    repository = settings.repository or here.repository or path
    if not _NAME.match(repository):
        raise ForgeError(
            f"nothing says which repository at the forge this is: the remote is {without_passwords(remote) or 'not known'}",
            'write repository = "owner/name" into [forge]',
        )
    url = _safe(settings.url or here.api or _api_of(host))
    return GitHub(url, repository, _token(settings, environ), notice=notice)


def parts_of(remote: str) -> tuple[str, str]:
    """Host and `owner/name` of a remote's URL, in git's three spellings; empty where it has none."""
    if "://" in remote:
        parts = urlsplit(remote)
        host, path = parts.hostname or "", parts.path
    elif match := _SSH.match(remote):
        host, path = match["host"], match["path"]
    else:
        return "", ""
    path = path.strip("/").removesuffix(".git")
    return (host.lower(), path) if host and _NAME.match(path) else ("", "")


def _api_of(host: str) -> str:
    """https://docs.github.com/en/enterprise-server/rest/using-the-rest-api/getting-started-with-the-rest-api"""
    return _API if host in ("", PUBLIC) else f"https://{host}/api/v3"


def _safe(url: str) -> str:
    """A token goes there."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.netloc)):
        raise ForgeError(f"{without_passwords(url)} is no https:// address, and a token would go there", "look at url in [forge]")
    return url.rstrip("/")


def _token(settings: ForgeSettings, environ: Mapping[str, str]) -> str:
    names = (settings.token_env,) if settings.token_env else TOKENS
    for name in names:
        if token := environ.get(name, "").strip():
            return token
    missing = f"${names[0]} is not set" if len(names) == 1 else f"neither {' nor '.join(f'${name}' for name in names)} is set"
    raise ForgeError(missing, "give the job a token that may write statuses and pull requests")
