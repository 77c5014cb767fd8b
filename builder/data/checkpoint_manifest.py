"""What a checkpoint consists of: the text whose sha256 names it. The same files make the same text everywhere."""

from __future__ import annotations

import itertools
import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from builder.data.keys import is_plain_name, is_plain_text
from builder.errors import IntegrityError
from builder.model.oci import canonical_json

_SCHEMA = 1
_HEX = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Item:
    """A file, by its sha256 (64 hex), or a symbolic link. `path` is relative to the checkpoint, with slashes."""

    path: str
    size: int = 0
    sha256: str = ""
    executable: bool = False
    link: str = ""

    def to_json(self) -> dict[str, Any]:
        if self.link:
            return {"path": self.path, "link": self.link}
        plain = {"path": self.path, "size": self.size, "sha256": self.sha256}
        return {**plain, "executable": True} if self.executable else plain

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Item:
        """Raises ValueError on what `to_json` would not write."""
        item = cls(**raw)
        for value, kind in zip((item.path, item.size, item.sha256, item.executable, item.link), (str, int, str, bool, str), strict=True):
            if type(value) is not kind:
                raise ValueError(f"{value!r} is no {kind.__name__}")
        if not all(map(is_plain_name, item.path.split("/"))):
            raise ValueError(f"{item.path!r} is no path")
        if item.link and not stays_inside(item.path, item.link):
            raise ValueError(f"{item.path} leads out of it")
        if not item.link and (item.size < 0 or not _HEX.match(item.sha256)):
            raise ValueError(f"{item.path} has no size and sha256")
        return item


@dataclass(frozen=True, slots=True)
class Manifest:
    """The items of a checkpoint, sorted by path."""

    items: tuple[Item, ...]

    @classmethod
    def of(cls, items: Iterable[Item]) -> Manifest:
        return cls(tuple(sorted(items, key=lambda item: item.path)))

    @property
    def files(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if not item.link)

    @property
    def links(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.link)

    @property
    def size(self) -> int:
        """Of all files, in bytes."""
        return sum(item.size for item in self.items)

    def to_bytes(self) -> bytes:
        return canonical_json({"schema": _SCHEMA, "files": [item.to_json() for item in self.items]})

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Manifest:
        """Raises IntegrityError, naming `name`, on anything that cannot be written out safely, whoever wrote it."""
        try:
            raw = json.loads(data)
            if raw["schema"] != _SCHEMA:
                raise ValueError(f"schema {raw['schema']!r}, and this version knows {_SCHEMA}")
            manifest = cls(tuple(map(Item.from_json, raw["files"])))
            _check_paths([item.path for item in manifest.items])
            if manifest.to_bytes() != data:
                raise ValueError("it says more than it should, or says it otherwise")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise IntegrityError(f"{name} is no checkpoint: {error}", "a newer builder wrote it, or something else did") from error
        return manifest


def stays_inside(path: str, link: str) -> bool:
    """Whether a link at `path` leads, by its text, to a place in the checkpoint."""
    if not is_plain_text(link) or link.startswith("/"):
        return False
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    return target != ".." and not target.startswith("../")


def _check_paths(paths: list[str]) -> None:
    """Raises ValueError unless each comes once, in order, and none lies below another, which is a file or a link."""
    if any(first >= second for first, second in itertools.pairwise(paths)):
        raise ValueError("its paths are not sorted, or one comes twice")
    known = set(paths)
    for path in paths:
        folder = posixpath.dirname(path)
        while folder:
            if folder in known:
                raise ValueError(f"{path} lies in {folder}, which is no directory")
            folder = posixpath.dirname(folder)
