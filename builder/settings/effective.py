"""What holds for one commit: [image] and the flows as the commit had them, everything else as it is now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from builder.errors import SettingsError
from builder.settings.convert import Where, convert, explain, hints_of
from builder.settings.flows import FlowSettings
from builder.settings.load import FILE, PROJECT_FILE, PROJECT_TABLE, parse, project_table
from builder.settings.names import loose_in_flow
from builder.settings.tables import ImageSettings, Settings, Tables

_NOT_IN_THE_IMAGE = frozenset({"base", "deps", "tool", "python"})
"""They count through the digests of the base, of the dependencies and of the tool layers."""


def at_commit(in_force: Settings, read: Callable[[str], bytes | None], commit: str = "") -> tuple[Settings, tuple[str, ...]]:
    """The settings that hold for a commit, and warnings about keys in its file that this tool does not know.

    `read(path)` gives a file of the commit's root, or None. [image] and each [flow.NAME] are taken whole from the commit's
    builder.toml (else [tool.builder] of its pyproject.toml), else from the settings in force. Raises SettingsError when the
    commit's file is no TOML or says there something that cannot be.
    """
    try:
        return _at_commit(in_force, read, commit)
    except SettingsError as error:
        hint = f"the commit stays as it is; a later one may be right. `builder image --missing --since {commit[:12]}` begins after it"
        raise SettingsError(error.message, error.hint or hint if commit else error.hint) from error


def _at_commit(in_force: Settings, read: Callable[[str], bytes | None], commit: str) -> tuple[Settings, tuple[str, ...]]:
    label = f"of commit {commit[:12]}" if commit else "of the commit"
    found = _document(read, label)
    if found is None:
        return in_force, ()
    document, where = found
    now = in_force
    unknown = [where / name for name in document if name not in hints_of(Tables)]
    origin = dict(in_force.origin)
    if "image" in document:
        in_force = replace(in_force, image=convert(ImageSettings, document["image"], where / "image", unknown))
        origin["image"] = where.file
    flows, warnings = _flows(document.get("flow", {}), where / "flow", unknown)
    origin |= {f"flow.{name}": where.file for name in flows}
    settled = replace(in_force, flow={**in_force.flow, **flows}, origin=origin, now=now)
    return settled, (*warnings, *(explain(key, Tables, where.path) for key in unknown), *_loose_names(flows, settled, where))


def _loose_names(flows: Mapping[str, FlowSettings], settled: Settings, where: Where) -> list[str]:
    """In the commit's own flows; what follows a flow may follow one that only the settings in force have."""
    return [f"{where / loose.path}: {loose}" for name, flow in flows.items() for loose in loose_in_flow(name, flow, settled.flow)]


def _flows(tables: object, where: Where, unknown: list[Where]) -> tuple[dict[str, FlowSettings], list[str]]:
    """The flows that can be read. No image depends on them, so one that cannot is a warning, and the flow in force stands."""
    flows: dict[str, FlowSettings] = {}
    warnings: list[str] = []
    for name, table in tables.items() if isinstance(tables, dict) else ():
        try:
            flows[name] = convert(FlowSettings, table, where / name, unknown)
        except SettingsError as error:  # noqa: PERF203 - there are a handful
            warnings.append(f"{error.message}; the flow is taken from the settings in force")
    return flows, warnings


def image_key(image: ImageSettings) -> dict[str, Any]:
    """What of [image] changes an image, ready for canonical JSON: the part of the inputs key that settings are.

    A value equal to its default is left out, so a new key with a default that changes nothing leaves every key as it was.
    Changing a default is a change of format.
    """
    plain = ImageSettings()
    names = [key.name for key in fields(ImageSettings) if key.name not in _NOT_IN_THE_IMAGE]
    return {name: _plain(getattr(image, name)) for name in names if getattr(image, name) != getattr(plain, name)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _document(read: Callable[[str], bytes | None], label: str) -> tuple[dict[str, Any], Where] | None:
    data = read(FILE)
    if data is not None:
        name = f"{FILE} {label}"
        return parse(data, name), Where(name)
    data, name = read(PROJECT_FILE), f"{PROJECT_FILE} {label}"
    table = project_table(parse(data, name)) if data is not None and b"builder" in data else None
    if table is None:
        return None
    if not isinstance(table, dict):
        raise SettingsError(f"{name}: {PROJECT_TABLE}: expected a table, got {table!r}")
    return table, Where(name, PROJECT_TABLE)
