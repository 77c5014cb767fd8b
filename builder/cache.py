"""Small files by their digest, kept between commands: manifests and configs. Content addressed, so never out of date."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from builder.files import write_whole
from builder.model.oci import is_digest, sha256


def cache_root(environ: Mapping[str, str]) -> Path:
    """Where this user's cache is. https://specifications.freedesktop.org/basedir-spec/latest/"""
    given = environ.get("XDG_CACHE_HOME", "")
    home = Path(given) if given.startswith("/") else Path(environ.get("HOME") or "~").expanduser() / ".cache"
    return home / "builder"


def blob_cache(environ: Mapping[str, str]) -> Cache:
    """Where manifests and configs are kept, whichever command read them."""
    return Cache(cache_root(environ) / "blobs")


class Cache:
    """Never an error: what cannot be read is not there, what cannot be written is not kept. Any number of processes may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, digest: str) -> bytes | None:
        """The bytes, or None. An entry that does not hash to its digest is as good as none."""
        try:
            data = self._path(digest).read_bytes()
        except (OSError, ValueError):
            return None
        return data if sha256(data) == digest else None

    def put(self, digest: str, data: bytes) -> None:
        """Keeps `data`, which hashes to `digest`; replaces what is there."""
        with contextlib.suppress(OSError, ValueError):
            write_whole(self._path(digest), data)

    def _path(self, digest: str) -> Path:
        if not is_digest(digest):
            raise ValueError(digest)
        return self._root / digest[7:9] / digest[9:]
