"""What differs between an object as it is wanted and as a server has it, which adds fields of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from builder.steps.request import Request

_SHOWN = 100
_MISSING = object()
_OF_THE_SERVER = frozenset({"creationTimestamp", "uid", "resourceVersion", "generation", "managedFields", "selfLink", "ownerReferences"})
"""Keys of an object's metadata that no manifest has (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta)."""
_OF_OTHERS = ("kubectl.kubernetes.io/", "argocd.argoproj.io/tracking-id", "app.kubernetes.io/instance", "kustomize.toolkit.fluxcd.io/name")
"""Labels and annotations with which whoever applied an object marks it, by how they begin (`.../name` and `.../namespace` are Flux's)."""


def differences(wanted: Mapping[str, Any], there: Mapping[str, Any], *, exact: bool = False) -> tuple[str, ...]:
    """A line for every field that `wanted` names and `there` has otherwise: `spec.timezone: "UTC" -> "Europe/Berlin"`.

    With `exact` fields that only `there` has count, too, unless they are a server's or a tool's that applied it. The object's namespace
    is where it is, and no difference.
    """
    return tuple(_compare(wanted, without_others(there) if exact else there, "", exact))


def without_others(there: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what a server adds to it, and those that apply it: `kubectl get -o yaml` made into a manifest again."""
    if not isinstance(there.get("metadata"), Mapping):
        return dict(there)
    metadata = {key: value for key, value in there["metadata"].items() if key not in _OF_THE_SERVER}
    for marks in ("labels", "annotations"):
        if isinstance(metadata.get(marks), Mapping):
            metadata[marks] = {key: value for key, value in metadata[marks].items() if not str(key).startswith(_OF_OTHERS)}
            if not metadata[marks]:
                del metadata[marks]
    return {**{key: value for key, value in there.items() if key != "status"}, "metadata": metadata}


def _compare(wanted: Any, there: Any, path: str, exact: bool) -> Iterator[str]:
    if isinstance(wanted, Mapping) and isinstance(there, Mapping):
        names = sorted({*wanted, *there}, key=str) if exact else sorted(wanted)
        for name in names:
            if f"{path}.{name}" != ".metadata.namespace":
                yield from _compare(wanted.get(name, _MISSING), there.get(name, _MISSING), f"{path}.{name}", exact)
    elif _is_list(wanted) and _is_list(there) and len(wanted) == len(there):
        for index, (inner, other) in enumerate(zip(wanted, there, strict=True)):
            yield from _compare(inner, other, f"{path}[{_named(inner, index)}]", exact)
    elif unpacked := _unpacked(wanted, there):
        yield from _compare(*unpacked, path, exact=True)
    elif wanted != there or isinstance(wanted, bool) != isinstance(there, bool):  # to Python True is 1; to a server it is not
        yield f"{path.lstrip('.')}: {_show(there)} -> {_show(wanted)}"


def _unpacked(wanted: object, there: object) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Two requests (docs/adr/0009) that say different things, as people can read them."""
    if not isinstance(wanted, str) or not isinstance(there, str):
        return None
    one, other = Request.plain(wanted), Request.plain(there)
    return None if one is None or other is None or one == other else (one, other)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _named(value: object, index: int) -> object:
    return value["name"] if isinstance(value, Mapping) and isinstance(value.get("name"), str) else index


def _show(value: object) -> str:
    text = "nothing" if value is _MISSING else json.dumps(value, ensure_ascii=False, sort_keys=True)
    if len(text) <= _SHOWN:
        return text
    return json.dumps(f"{value[: _SHOWN - 5]}...", ensure_ascii=False) if isinstance(value, str) else f"{text[: _SHOWN - 3]}..."
