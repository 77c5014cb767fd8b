"""The files in which a team's own flow is compiled: Python of the commit, and what lies beside the flow file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from builder.image import code, lfs
from builder.launch.behind import below, beside, with_tool_behind
from builder.model.oci import canonical_json, sha256
from builder.model.tree import Commit, Entry
from builder.settings import ImageSettings, PodSettings
from builder.source.export import export_files
from builder.source.repository import Git


class OwnFiles:
    """Of the flow file `name`. `pod` is what a step asks for that says nothing by itself. Nothing is read before it is needed."""

    def __init__(self, git: Git, commit: Commit, image: ImageSettings, name: str, pod: PodSettings) -> None:
        self._git = git
        self._commit = commit
        self._image = image
        self._pod = pod
        self.name = name

    @cached_property
    def key(self) -> str:
        listed = b"".join(b"%s\0%s\n" % (entry.path, entry.oid.encode()) for entry in self._entries)
        return sha256(listed + canonical_json(self._asked()))

    def fill(self, directory: Path) -> None:
        self._git.fetch_missing(self._commit, self._entries)
        export_files(self._git, self._entries, directory)

    def variables(self, directory: Path, tool: Sequence[str]) -> Mapping[str, str]:
        path = [str(directory / entry) for entry in below(self._image.pythonpath, self._image.workdir)]
        return {**with_tool_behind([beside(str(directory), self.name), *path], tool), **self._asked()}

    @cached_property
    def _entries(self) -> list[Entry]:
        entries = code.code_tree(self._git, self._commit, self._image, code.Known()).entries
        folder = f"{PurePosixPath(self.name).parent}/".encode()
        return [entry for entry in entries if not entry.oid.startswith(lfs.PREFIX) and _wanted(entry.path, folder)]

    def _asked(self) -> dict[str, str]:
        """Metaflow's own variables for what a step asks for: a decorator says more. It counts in decimal megabytes."""
        asked = {"METAFLOW_KUBERNETES_CPU": self._pod.cpu, "METAFLOW_KUBERNETES_MEMORY": _megabytes(self._pod.memory)}
        return {**asked, **({"METAFLOW_KUBERNETES_DISK": _megabytes(self._pod.disk)} if self._pod.disk else {})}


def _wanted(path: bytes, folder: bytes) -> bool:
    return path.endswith(b".py") or (folder != b"./" and path.startswith(folder))


def _megabytes(quantity: str) -> str:
    """`2Gi` in Metaflow's unit, rounded up."""
    from kubernetes.utils import parse_quantity

    amount = int(parse_quantity(quantity))  # type: ignore[no-untyped-call]
    return str(max(1, -(-amount // 1_000_000)))
