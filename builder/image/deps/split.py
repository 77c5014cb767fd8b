"""Cutting packages into layers, so that one changed package is uploaded again with few others.

A pure function of the packages' names and sizes: the largest have a layer each, the others share a fixed number, by a hash of the name.
A package that grows past the limit, or out of the largest, moves; the others stay where they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

LARGE = 8 << 20
"""Installed bytes from which a package is worth a layer of its own."""
OWN, SHARED = 10, 6
"""Layers of single packages and of shared ones: 16 at most, of the budget of 125 that an image has."""


@dataclass(frozen=True, slots=True)
class Group:
    """The packages of one layer, sorted, and what people call it."""

    title: str
    names: tuple[str, ...]


def split(sizes: Mapping[str, int]) -> tuple[Group, ...]:
    """The layers from the bottom up: single packages by name, then shared ones by number. Every name is in exactly one."""
    own = sorted(sorted((n for n in sizes if sizes[n] >= LARGE), key=lambda n: (-sizes[n], n))[:OWN])
    shared: dict[int, list[str]] = {}
    for name in sorted(set(sizes) - set(own)):
        shared.setdefault(_number(name), []).append(name)
    single = tuple(Group(name, (name,)) for name in own)
    return single + tuple(Group(_title(names), tuple(names)) for _, names in sorted(shared.items()))


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % SHARED


def _title(names: list[str]) -> str:
    shown = [name or "other files" for name in names[:3]]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")
