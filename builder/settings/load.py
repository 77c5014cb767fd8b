"""Finds and reads the settings in force."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from builder.errors import SettingsError
from builder.settings.convert import Where, convert, explain
from builder.settings.keeping import with_keepers
from builder.settings.names import loose_names
from builder.settings.tables import Settings, Tables

FILE, PROJECT_FILE, PROJECT_TABLE = "builder.toml", "pyproject.toml", "tool.builder"

ENVIRONMENT = {
    "BUILDER_STORE_TO": ("store", "to"),
    "BUILDER_STORE_PULL": ("store", "pull"),
    "BUILDER_RUN_ON": ("run", "on"),
    "BUILDER_DATA_ROOT": ("data", "root"),
    "BUILDER_DATA_ENDPOINT": ("data", "endpoint"),
    "BUILDER_CI_WAIT": ("ci", "wait"),
}
"""Variables that stand above the file. None of [image]: a commit's image must not depend on somebody's shell."""


Read = Callable[[Path], bytes | None]
"""Gives a file's bytes; None when there is no such file."""


def load(start: Path, environ: Mapping[str, str], read: Read | None = None) -> Settings:
    """The settings in force in `start`: the nearest builder.toml, or pyproject.toml with [tool.builder], from there upwards.

    One file only, never merged with another; defaults where there is none. `read` looks elsewhere than on the disk. Raises SettingsError.
    """
    start = start.absolute()
    for directory in (start, *start.parents):
        found = _read(directory, start, read or _bytes)
        if found is not None:
            return _with_environment(found, environ)
    return _with_environment(Settings(root=_git_top(start) or start, origin=_origins(Tables(), {}, "")), environ)


def parse(data: bytes, name: str) -> dict[str, Any]:
    """A TOML document. Raises SettingsError with file, line and column."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        document: dict[str, Any] = tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise SettingsError(f"{name}: line {data[: error.start].count(10) + 1}: not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).partition(" (at ")
        raise SettingsError(f"{name}: {place.rstrip(')') or 'not TOML'}: {what[:1].lower()}{what[1:]}") from error
    return document


def project_table(document: Mapping[str, Any]) -> object:
    """What pyproject.toml says under [tool.builder], or None."""
    tool = document.get("tool")
    return tool.get("builder") if isinstance(tool, dict) else None


def has_project_table(directory: Path) -> bool:
    """Whether the directory's pyproject.toml holds settings for builder."""
    raw = _bytes(directory / PROJECT_FILE)
    return raw is not None and b"builder" in raw and project_table(parse(raw, PROJECT_FILE)) is not None


def _read(directory: Path, start: Path, read: Read) -> Settings | None:
    file, project = directory / FILE, directory / PROJECT_FILE
    raw = read(project)
    name = os.path.relpath(project, start)
    table = project_table(parse(raw, name)) if raw is not None and b"builder" in raw else None
    data = read(file)
    if data is not None:
        if table is not None:
            raise SettingsError(f"{directory} has both {FILE} and [{PROJECT_TABLE}] in {PROJECT_FILE}", "keep one of them")
        name = os.path.relpath(file, start)
        return _settings(parse(data, name), Where(name), file)
    return None if table is None else _settings(table, Where(name, PROJECT_TABLE), project)


def _settings(document: object, where: Where, file: Path) -> Settings:
    unknown: list[Where] = []
    tables = convert(Tables, document, where, unknown)
    if unknown:
        raise SettingsError("\n".join(explain(key, Tables, where.path) for key in unknown))
    for loose in loose_names(tables):
        raise SettingsError(f"{where / loose.path}: {loose}")
    tables = replace(tables, flow=with_keepers(tables.flow, tables.schedule))
    named = document if isinstance(document, dict) else {}
    origin = _origins(tables, named, f"{where.file} in force")
    return Settings(**{key.name: getattr(tables, key.name) for key in fields(Tables)}, file=file, root=file.parent, origin=origin)


def _origins(tables: Tables, document: Mapping[str, Any], label: str) -> dict[str, str]:
    origin = {key.name: label if key.name in document else "default" for key in fields(Tables)}
    return {**origin, **{f"flow.{name}": label for name in tables.flow}}


def _with_environment(settings: Settings, environ: Mapping[str, str]) -> Settings:
    if environ.get("BUILDER_STORE_TO"):  # another store: the file's two names are of the one it replaces
        settings = replace(settings, store=replace(settings.store, push="", pull=""))
    for variable, (name, key) in ENVIRONMENT.items():
        value = environ.get(variable)
        if value:
            changed = replace(getattr(settings, name), **{key: value})
            origin = {**settings.origin, name: f"{settings.origin[name]}, {variable}"}
            settings = replace(settings, **{name: changed, "origin": origin})
    return settings


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error


def _git_top(start: Path) -> Path | None:
    return next((directory for directory in (start, *start.parents) if (directory / ".git").exists()), None)
