"""What an image is called: `registry/name:tag` or `registry/name@sha256:...`.

Grammar: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from builder.errors import UsageError
from builder.model.oci import is_digest

_NAME = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*\Z")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\Z")
_HOST = re.compile(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?P<port>:[0-9]{1,5})?\Z")
DOCKER_HUB = "registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class Repository:
    """A registry's host (with port, when it has one) and a name in it."""

    host: str
    name: str

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> Repository:
        """`host[:port]/name`; a first part that is no host (no dot, no port, not localhost) means Docker Hub."""
        first, _, rest = text.partition("/")
        if not rest or not ("." in first or ":" in first or first == "localhost"):
            first, rest = DOCKER_HUB, text if "/" in text else f"library/{text}"
        elif first in ("docker.io", "index.docker.io"):
            first = DOCKER_HUB
        if not _is_host(first):
            shown = "***@" * ("@" in first) + first.rpartition("@")[2]  # a password may stand before it
            raise UsageError(f"{shown!r} is not a registry's host", "write host or host:port, with a port up to 65535")
        if not _NAME.match(rest):
            raise UsageError(f"{text!r} is not a repository name", "write host[:port]/name, in lower case")
        return cls(first, rest)


def _is_host(text: str) -> bool:
    name, port = _HOST.match(text), text.rpartition(":")[2]
    return name is not None and (name["port"] is None or 0 < int(port) < 65536)


@dataclass(frozen=True, slots=True)
class Reference:
    """An image in a repository by digest, by tag, or both. One of the two is always there."""

    repository: Repository
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.repository}{':' + self.tag if self.tag else ''}{'@' + self.digest if self.digest else ''}"

    @property
    def name(self) -> str:
        """What a registry is asked for: the digest when there is one, else the tag."""
        return self.digest or self.tag

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Without tag and digest the tag is `latest`. Raises UsageError on what is no reference."""
        rest, _, digest = text.partition("@")
        if digest and not is_digest(digest):
            raise UsageError(f"{text!r} has a digest that is not sha256:<64 hex digits>")
        slash, colon = rest.rfind("/"), rest.rfind(":")
        rest, tag = (rest[:colon], rest[colon + 1 :]) if colon > slash else (rest, "")
        if tag and not _TAG.match(tag):
            raise UsageError(f"{text!r} has a tag that no registry takes: {tag!r}")
        return cls(Repository.parse(rest), tag or ("" if digest else "latest"), digest)
