"""The types that a flow's settings give the keys of its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builder.errors import SettingsError

_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
}
_MISSING = object()


def check_types(values: Mapping[str, Any], schema: Mapping[str, str], source: str) -> None:
    """Raises SettingsError naming key, what was expected, what is there, and the file."""
    for key, kind in schema.items():
        found = _look_up(values, key)
        if found is _MISSING:
            raise SettingsError(f"{key}: {source} does not have it; expected {kind}", f"add it to the file, or say {key}=VALUE")
        if not isinstance(found, _TYPES[kind]) or (isinstance(found, bool) and kind != "bool"):
            raise SettingsError(f"{key}: expected {kind}, got {found!r} ({type(found).__name__}), from {source} and the command line")


def _look_up(values: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return _MISSING
        values = values[part]
    return values
