"""A kind of JSON that `-o json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """`keys` says what each means; `parts` are the keys of objects in a list. `many`: it is a list of such objects."""

    keys: Mapping[str, str]
    parts: Mapping[str, Mapping[str, str]]
    many: bool = False
