"""From what TOML says to frozen dataclasses. A generic library for this costs more start-up than the whole of it does."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from builder.errors import SettingsError

_NAMES = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}
_PLURAL = {str: "strings", bool: "true or false", int: "whole numbers", float: "numbers"}


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a file: `file` as people know it, `path` the dotted key."""

    file: str
    path: str = ""

    def __truediv__(self, name: str) -> Where:
        return Where(self.file, f"{self.path}.{name}" if self.path else name)

    def __str__(self) -> str:
        return f"{self.file}: {self.path}" if self.path else self.file

    def expected(self, what: str, got: object) -> SettingsError:
        return SettingsError(f"{self}: expected {what}, got {show(got)}")


def convert(kind: Any, value: object, where: Where, unknown: list[Where]) -> Any:
    """`value` as a `kind`, or SettingsError. Keys that `kind` does not have are added to `unknown`, and left out."""
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass(kind, value, where, unknown)
    origin, args = get_origin(kind), get_args(kind)
    if origin in (types.UnionType, Union):  # `X | None`: TOML has no null, so a value is an X; `tuple | X`: a list, or the table X
        return convert(args[isinstance(value, dict) and args[-1] is not type(None)], value, where, unknown)
    if origin is tuple and isinstance(value, list) and all(_is(args[0], item) for item in value):
        return tuple(value)
    if origin is Mapping and isinstance(value, dict):
        return {name: convert(args[1], item, where / name, unknown) for name, item in value.items()}
    if origin in (tuple, Mapping) or not _is(kind, value):
        raise where.expected(_describe(kind), value)
    return value


def _dataclass(kind: type, value: object, where: Where, unknown: list[Where]) -> Any:
    if not isinstance(value, dict):
        raise where.expected("a table", value)
    hints = hints_of(kind)
    unknown += [where / name for name in value if name not in hints]
    known = {name: convert(hints[name], item, where / name, unknown) for name, item in value.items() if name in hints}
    for key in fields(kind):
        _check(key.metadata.get("check"), known, key.name, where)
    try:
        return kind(**known)
    except ValueError as error:
        raise where.expected(str(error), known) from error


def _check(check: Any, known: Mapping[str, Any], name: str, where: Where) -> None:
    if check is None or name not in known:
        return
    try:
        check(known[name])
    except ValueError as error:
        raise (where / name).expected(str(error), known[name]) from error


def _is(kind: Any, value: object) -> bool:
    if kind is Any:
        return True
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if isinstance(value, bool):  # a bool is an int to isinstance
        return kind is bool
    return isinstance(value, (int, float)) if kind is float else isinstance(value, kind)


def _describe(kind: Any) -> str:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(show(choice) for choice in args)
    if origin is tuple:
        return f"a list of {_PLURAL[args[0]]}"
    return "a table" if origin is Mapping else _NAMES[kind]


def show(value: object) -> str:
    """The value as TOML would have it, cut when long; of a table the keys alone."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + (value if len(value) <= 80 else value[:77] + "...") + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(show(item) for item in value[:5]) + (", ..." if len(value) > 5 else "") + "]"
    return "{" + ", ".join(value) + "}" if isinstance(value, dict) else str(value)


@cache
def hints_of(kind: type) -> dict[str, Any]:
    """The dataclass's keys and their types."""
    return get_type_hints(kind)


def inner_table(hint: Any) -> type | None:
    """The table behind a key: `X`, `X | None`, or the X of a mapping of X or of `list | X`."""
    if isinstance(hint, type) and is_dataclass(hint):
        return hint
    return next(filter(None, map(inner_table, get_args(hint))), None)


def explain(unknown: Where, known: type, prefix: str) -> str:
    """`file: key: unknown key; did you mean other.key?`"""
    import difflib  # only on the way to an error

    paths = [f"{prefix}.{path}" if prefix else path for path in _paths(known)]
    leaf = unknown.path.rpartition(".")[2]
    same = [path for path in paths if path.rpartition(".")[2] == leaf]
    alike = [path for path in paths if difflib.SequenceMatcher(None, path.rpartition(".")[2], leaf).ratio() > 0.7]
    near = same or difflib.get_close_matches(unknown.path, alike, 1, 0.6)
    return f"{unknown}: unknown key" + (f"; did you mean {near[0]}?" if near else "")


def _paths(kind: type, prefix: str = "") -> Iterator[str]:
    for name, hint in hints_of(kind).items():
        yield prefix + name
        inner = inner_table(hint)
        if inner is not None and get_origin(hint) is not Mapping:
            yield from _paths(inner, f"{prefix}{name}.")
