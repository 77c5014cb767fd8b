"""Settings as TOML: what is in force here, for a machine that has no such file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from builder.settings.tables import Settings, Tables


def to_toml(settings: Settings) -> str:
    """A builder.toml that says the same. What is as it is by default is left out."""
    import tomlkit

    plain = Tables()
    tables = {key.name: _changed(getattr(settings, key.name), getattr(plain, key.name)) for key in fields(Tables)}
    return tomlkit.dumps({name: table for name, table in tables.items() if table})


def _changed(value: Any, default: Any) -> Any:
    """A table's keys that differ from their defaults, each as TOML has it."""
    if is_dataclass(value):
        same = default if is_dataclass(default) else None
        found = {key.name: (getattr(value, key.name), getattr(same, key.name, _default(key))) for key in fields(value)}
        return {name: _changed(own, usual) for name, (own, usual) in found.items() if own != usual}
    if isinstance(value, Mapping):
        return {name: _changed(inner, None) for name, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _default(key: Any) -> Any:
    return key.default_factory() if key.default_factory is not MISSING else key.default
