"""What dependencies are made from, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from builder.image.base_python import DEFAULT_PATH
from builder.model.oci import Descriptor
from builder.model.tree import Entry


@dataclass(frozen=True, slots=True)
class CommitFiles:
    """The files of one commit: one by its path (None: no such file), the list of all, and the contents of many, each with its size."""

    read: Callable[[str], bytes | None]
    entries: Callable[[], Iterable[Entry]]
    stream: Callable[[Sequence[Entry]], Iterator[tuple[Entry, int, Iterator[bytes]]]]


@dataclass(frozen=True, slots=True)
class Deps:
    """The dependencies of an image: layers to put on the base, and what they change of its config.

    `key` is the hash of every input, `digest` that of the manifest tagged `deps-<key>` (empty when there was nothing to install).
    `config` holds keys of the image config that replace the base's (None: the key goes); `search_path` what is put in front of
    variables such as PATH.
    """

    key: str
    digest: str
    layers: tuple[Descriptor, ...]
    diff_ids: tuple[str, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    search_path: Mapping[str, str] = field(default_factory=dict)

    def configure(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """The `config` part of the base's image config, as it is with these dependencies."""
        changed = {key: value for key, value in {**base, **self.config}.items() if value is not None}
        variables = dict(pair.partition("=")[::2] for pair in changed.get("Env") or ())
        for name, directory in self.search_path.items():
            before = variables.get(name) or (DEFAULT_PATH if name == "PATH" else "")
            variables[name] = f"{directory}:{before}" if before else directory
        if variables:
            changed["Env"] = [f"{name}={value}" for name, value in variables.items()]
        return changed
