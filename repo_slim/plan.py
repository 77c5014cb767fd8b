"""Stage three: `plan.toml`, which a person reads, changes and approves by its hash."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from repo_slim.analyse import Analysis
from repo_slim.errors import AskedError
from repo_slim.files import digest
from repo_slim.rules import Rules, parse_size
from repo_slim.selection import Selection

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = "plan.toml"
VERSION = 1
DEFAULT = Rules(drop_over=1_000_000)
"""Where nothing is asked for: what is larger than 1 MB, and no tip has."""

_LISTS = ("drop", "keep", "drop_from_tips", "protect")
_CHOICES = {"lfs": ("keep-pointers", "drop"), "replace": ("delete", "placeholder")}


def approval(plan: bytes, source: str) -> str:
    """What `--approve` takes, 16 hex digits: of every byte of the plan and of all refs of the source."""
    return digest(plan, source)[:16]


def read(path: Path) -> Rules:
    """Raises AskedError, which names what is wrong with the plan."""
    return parse(path.read_bytes(), str(path))


def parse(data: bytes, name: str) -> Rules:
    try:
        raw = tomllib.loads(data.decode("utf-8"))
    except ValueError as error:
        raise AskedError(f"{name} is no TOML: {error}", "correct it, or take it away to have it written anew") from error
    try:
        return _rules(raw)
    except (KeyError, TypeError, ValueError) as error:
        raise AskedError(f"{name}: {error}", "correct it, or take it away to have it written anew") from error


def _rules(raw: dict[str, Any]) -> Rules:
    if raw.pop("version", None) != VERSION:
        raise ValueError(f"version must be {VERSION}")
    values: dict[str, Any] = {"drop_over": _size(raw.pop("drop_over", None))}
    for key in _LISTS:
        if key in raw:
            values[key] = _texts(key, raw.pop(key))
    for key, choices in _CHOICES.items():
        value = values[key] = raw.pop(key, choices[0])
        if value not in choices:
            raise ValueError(f"{key} is {value!r}, and must be {' or '.join(choices)}")
    if raw:
        raise ValueError(f"nobody knows {', '.join(sorted(raw))}")
    rules = Rules(**values)
    rules.said_of(b"x")  # globs that are none are found here
    return rules


def _size(value: object) -> int | None:
    if value is None or value is False:
        return None
    return value if isinstance(value, int) else parse_size(str(value))


def _texts(key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"{key} must be a list of texts")
    return tuple(value)


def render(rules: Rules, analysis: Analysis, selection: Selection, name: str) -> bytes:
    """The plan, with what each rule takes out. The same for the same source and rules."""
    return "\n".join([*_head(analysis, selection, name), *_body(rules, analysis)]).encode() + b"\n"


def _head(analysis: Analysis, selection: Selection, name: str) -> Iterable[str]:
    gone = _said(analysis, selection.gone)
    yield f"# What is taken out of {name}, from every commit of its history. Change it as you like, then approve it by its hash."
    yield f"# All in all: {gone}. Nothing is lost: all of it goes into the archive first."
    if selection.spared:
        yield f"# {_said(analysis, selection.spared)} would go, too, but a protected tip contains them: they stay in all commits."
    yield ""
    yield f"version = {VERSION}"
    yield ""


def _body(rules: Rules, analysis: Analysis) -> Iterable[str]:
    yield "# Files larger than this (500kB, 1MB, 1MiB, bytes); without the line size does not matter."
    if rules.drop_over is None:
        yield '# drop_over = "1MB"'
    else:
        larger = [blob for blob, size in analysis.size.items() if size > rules.drop_over]
        yield f"drop_over = {_size_text(rules.drop_over)}  # {_said(analysis, larger)}"
    yield "\n# Whatever these match, of any size. As in .gitignore: *.ckpt anywhere, /data/** from the top, outputs/ with all below."
    yield "# What looks like dead code is in report.html, with the reasons, ready for this list; nothing of it gets here by itself."
    yield from _globs("drop", rules.drop, analysis, lambda said: said[0])
    yield "\n# What stays, whatever else is said."
    yield from _globs("keep", rules.keep, analysis, lambda said: said[1])
    yield "\n# The tips of these refs keep exactly what they contain, and so do all commits that share it. HEAD is always one of them."
    yield f"protect = {_list(rules.protect)}"
    yield "\n# What goes from these tips all the same. This changes what people check out."
    yield from _globs("drop_from_tips", rules.drop_from_tips, analysis, lambda said: said[2])
    yield '\n# Pointers to LFS objects: "keep-pointers" (nearly free for a clone) or "drop". Objects that no tip points to are archived.'
    yield f'lfs = "{rules.lfs}"'
    yield '\n# "delete": the file is not in the commit any more. "placeholder": a few lines with its sha256 and size take its place.'
    yield f'replace = "{rules.replace}"'


def _globs(key: str, globs: tuple[str, ...], analysis: Analysis, which: Callable[[tuple[bool, bool, bool]], bool]) -> Iterable[str]:
    if not globs:
        yield f"{key} = []"
        return
    yield f"{key} = ["
    for glob in globs:
        alone = Rules(drop=(glob,), keep=(glob,), drop_from_tips=(glob,))
        matched = [blob for blob, paths in analysis.paths.items() if any(which(alone.said_of(path)) for path in paths)]
        yield f"    {_text(glob)},  # {_said(analysis, matched)}"
    yield "]"


def _said(analysis: Analysis, blobs: Iterable[str]) -> str:
    found = list(blobs)
    size = sum(analysis.size[blob] for blob in found)
    return f"{len(found)} file version{'' if len(found) == 1 else 's'}, {size_text(size)}"


def size_text(count: int) -> str:
    """`512 B`, `1.2 MB`."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def _size_text(count: int) -> str:
    for factor, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count and count % factor == 0:
            return f'"{count // factor}{unit}"'
    return str(count)


def _list(values: Iterable[str]) -> str:
    return "[" + ", ".join(map(_text, values)) + "]"


def _text(value: str) -> str:
    """A TOML string: JSON's is one, but for DEL."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise AskedError(f"{value!r} is no UTF-8", "write a ? for every such byte") from error
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def unmatched(rules: Rules, analysis: Analysis, refs: Iterable[str]) -> list[dict[str, str]]:
    """Patterns that match nothing, `key` and `pattern` each: mistyped, most likely."""
    names, paths = list(refs), {path for found in analysis.paths.values() for path in found}
    idle = []
    for key in _LISTS:
        for pattern in getattr(rules, key):
            alone = Rules(drop=(pattern,)) if key != "protect" else Rules(protect=(pattern,))
            if not (any(map(alone.protects, names)) if key == "protect" else any(alone.said_of(path)[0] for path in paths)):
                idle.append({"key": key, "pattern": pattern})
    return idle


def with_flags(rules: Rules, said: Mapping[str, Any]) -> Rules:
    """The rules with what the command line says. Globs alone mean just these: the size that is the default goes."""
    if "drop" in said and "drop_over" not in said and rules == DEFAULT:
        rules = replace(rules, drop_over=None)
    known = {field.name for field in fields(Rules) if field.init}
    return replace(rules, **{key: value for key, value in said.items() if key in known}, _memo={})
