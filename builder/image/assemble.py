"""The config and the manifest of a commit's image, from its parts. Pure: the same parts give the same bytes.

https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import Any

from builder.image.base import Base
from builder.model.annotations import BASE_DIGEST, BASE_NAME, CREATED, DIFF_ID, KIND, REVISION, SOURCE, STANDARD, TITLE
from builder.model.oci import CONFIG, Descriptor, Manifest, canonical_json, sha256
from builder.model.tree import Commit
from builder.settings import ImageSettings

_LAST_SECOND = 253402300799  # of the year 9999
_DOCKER_ONLY = ("id", "parent", "throwaway", "container", "container_config", "docker_version")


def image_config(base: Base, inner: Mapping[str, Any], commit: Commit, settings: ImageSettings, added: Sequence[Descriptor]) -> bytes:
    """The config whose rootfs is the base's layers and then `added`, each annotated with its diff id, kind and title.

    `inner` is the `config` part (Env, Entrypoint, ...) as base and dependencies have it.
    """
    plain = {key: value for key, value in base.config.items() if key not in _DOCKER_ONLY}
    created = rfc3339(commit.date)
    history = [*_base_history(base), *(_history(layer, created) for layer in added)]
    return canonical_json(
        {
            **plain,
            "created": created,
            "config": {
                **inner,
                "Env": _environment(inner.get("Env") or [], commit, settings),
                "WorkingDir": settings.workdir,
                "Labels": {**_base_labels(inner), **labels(commit, settings, base)},
            },
            "rootfs": {"type": "layers", "diff_ids": [*base.diff_ids, *(layer.annotations[DIFF_ID] for layer in added)]},
            "history": history,
        }
    )


def image_manifest(
    base: Base, config: bytes, added: Sequence[Descriptor], commit: Commit, settings: ImageSettings, own: Mapping[str, str]
) -> Manifest:
    """The manifest over base and added layers. `own`: annotations of this tool, next to the standard ones."""
    descriptor = Descriptor(CONFIG, sha256(config), len(config))
    below = tuple(replace(layer, annotations={**layer.annotations, KIND: "base"}) for layer in base.layers)
    return Manifest(descriptor, (*below, *added), {**labels(commit, settings, base), **own})


def labels(commit: Commit, settings: ImageSettings, base: Base) -> dict[str, str]:
    """The standard keys, for the config's labels and the manifest's annotations alike."""
    standard = {REVISION: commit.sha, CREATED: rfc3339(commit.date), SOURCE: settings.source}
    if base.digest:
        standard |= {BASE_NAME: base_name(settings), BASE_DIGEST: base.digest}
    return {key: value for key, value in standard.items() if value}


def base_name(settings: ImageSettings) -> str:
    """The base's name as the settings have it; none for `oci:DIR`, as a directory of one machine is nobody's name."""
    return "" if settings.base.startswith("oci:") else settings.base.partition("@")[0]


def rfc3339(seconds: int) -> str:
    """A commit's date as the OCI specification wants it, in UTC; git knows later years than it."""
    return datetime.fromtimestamp(min(max(seconds, 0), _LAST_SECOND), tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def code_path(settings: ImageSettings) -> tuple[str, ...]:
    """`image.pythonpath` as absolute directories of the image."""
    return tuple(str(PurePosixPath(settings.workdir) / entry) for entry in settings.pythonpath)


def _environment(below: Iterable[str], commit: Commit, settings: ImageSettings) -> list[str]:
    variables = dict(item.partition("=")[::2] for item in below) | dict(sorted(settings.env.items()))
    python_path = ":".join(entry for entry in (*code_path(settings), variables.get("PYTHONPATH", "")) if entry)
    if python_path:
        variables["PYTHONPATH"] = python_path
    return [f"{key}={value}" for key, value in {**variables, "BUILDER_COMMIT": commit.sha}.items()]


def _base_labels(inner: Mapping[str, Any]) -> dict[str, str]:
    """Less the standard ones: its title, version or source would look like the commit's."""
    return {key: value for key, value in (inner.get("Labels") or {}).items() if not key.startswith(STANDARD)}


def _base_history(base: Base) -> list[Mapping[str, Any]]:
    """The base's own lines, if they fit its layers: readers refuse an image whose history counts other layers than it has."""
    lines = list(base.config.get("history") or [])
    if sum(not line.get("empty_layer") for line in lines) == len(base.layers):
        return lines
    return [{"created_by": "base layer"} for _ in base.layers]


def _history(layer: Descriptor, created: str) -> dict[str, str]:
    line = f"builder: {layer.annotations[KIND]} {layer.annotations.get(TITLE, '')}".rstrip()
    return {"created": created, "created_by": line}
