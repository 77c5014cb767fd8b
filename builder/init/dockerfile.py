"""What a Dockerfile says about base and dependencies. A reader for proposals, not a parser: what it does not know it passes over.

https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")
_FROM = re.compile(r"(?:--\S+\s+)*(\S+)(?:\s+as\s+(\S+))?\s*\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """`base`: the image that the last stage begins with, empty when a variable without a value decides. `copied`: sources of COPY and ADD.

    `takes_base`: whether it begins with `ARG BASE` and `FROM ${BASE}`, so that builder can say which base it is.
    """

    base: str
    copied: tuple[str, ...]
    takes_base: bool


def read(text: str) -> Dockerfile | None:
    """None when there is no FROM."""
    defaults: dict[str, str] = {}
    stages: dict[str, str] = {}
    copied: list[str] = []
    image, raw = "", ""
    for word, rest in _instructions(text):
        if word == "ARG" and not raw:
            name, _, value = rest.partition("=")
            defaults[name.strip()] = value.strip().strip("\"'")
        elif word == "FROM" and (match := _FROM.match(rest)):
            raw = match[1]
            named = _expand(raw, defaults)
            image = stages.get(named.lower(), named)
            stages[(match[2] or "").lower()] = image
        elif word in ("COPY", "ADD"):
            copied += _sources(rest)
    takes_base = "BASE" in defaults and raw in ("$BASE", "${BASE}")
    return Dockerfile("" if "$" in image else image, tuple(dict.fromkeys(copied)), takes_base) if raw else None


def _instructions(text: str) -> list[tuple[str, str]]:
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\[ \t]*\n", " ", lines)
    pairs = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [(word.upper(), rest.strip()) for word, _, rest in pairs]


def _expand(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        return values.get(match[1] or match[3], "") or match[2] or match[0]

    return _VARIABLE.sub(value, text)


def _sources(rest: str) -> list[str]:
    """Of `COPY [--flag] SOURCE... TARGET`; none when they come from another stage or the network."""
    options = re.match(r"(?:--\S+\s+)*", rest)
    flags, rest = (options[0], rest[options.end() :]) if options else ("", rest)
    if "--from" in flags:
        return []
    try:
        words = json.loads(rest) if rest.startswith("[") else rest.split()
    except ValueError:
        return []
    return [str(word).removeprefix("./").strip("/") for word in words[:-1] if "://" not in str(word)]
