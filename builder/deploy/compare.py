"""What differs between an object as it is wanted and as a server has it, which adds fields of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_SHOWN = 100
_MISSING = object()


def differences(wanted: Mapping[str, Any], there: Mapping[str, Any], *, exact: bool = False) -> tuple[str, ...]:
    """A line for every field that `wanted` names and `there` has otherwise: `spec.timezone: "UTC" -> "Europe/Berlin"`.

    With `exact` fields that only `there` has count, too. The object's namespace is where it is, and no difference.
    """
    return tuple(_compare(wanted, there, "", exact))


def _compare(wanted: Any, there: Any, path: str, exact: bool) -> Iterator[str]:
    if isinstance(wanted, Mapping) and isinstance(there, Mapping):
        names = sorted({*wanted, *there}) if exact else sorted(wanted)
        for name in names:
            if f"{path}.{name}" != ".metadata.namespace":
                yield from _compare(wanted.get(name, _MISSING), there.get(name, _MISSING), f"{path}.{name}", exact)
    elif _is_list(wanted) and _is_list(there) and len(wanted) == len(there):
        for index, (inner, other) in enumerate(zip(wanted, there, strict=True)):
            yield from _compare(inner, other, f"{path}[{_named(inner, index)}]", exact)
    elif wanted != there:
        yield f"{path.lstrip('.')}: {_show(there)} -> {_show(wanted)}"


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _named(value: object, index: int) -> object:
    return value["name"] if isinstance(value, Mapping) and isinstance(value.get("name"), str) else index


def _show(value: object) -> str:
    text = "nothing" if value is _MISSING else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
