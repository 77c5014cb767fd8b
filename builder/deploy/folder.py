"""Manifests as files of a directory, for those whose cluster follows a repository: one object a file, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.deploy.apply import Applied
from builder.deploy.compare import differences
from builder.deploy.cron import told
from builder.deploy.gitops import ORDER, for_gitops, place_of
from builder.deploy.names import plain_kind
from builder.errors import DeployError
from builder.files import write_whole

KUSTOMIZATION = "kustomization.yaml"
_HEAD = "# made by `builder deploy --to`; whatever else is in this directory is left alone\n"
_PREFIXES = frozenset(kind.lower() for kind in (*ORDER, "CronWorkflow", "DaemonSet"))
_KINDS = {
    "apiVersion": "kustomize.config.k8s.io/v1beta1",
    "kind": "Kustomization",
    "sortOptions": {"order": "fifo"},  # as listed: by itself kustomize has kinds that it does not know by name
}

Owned = Callable[[Mapping[str, Any]], bool]
"""Whether an object is of those that are written now: if it is not among them any more, its file goes."""


@dataclass(frozen=True, slots=True)
class _Change:
    """`wanted` and `gone` are file name to manifest: those that must be there, and those that go. `others` stay on the list."""

    wanted: Mapping[str, dict[str, Any]]
    gone: Mapping[str, dict[str, Any]]
    others: tuple[str, ...]
    planned: list[Applied]


class Folder:
    """`kustomization.yaml` lists the files that are ours, and may list others, and say more: that stays as it is."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def foresee(self, manifests: Iterable[Mapping[str, Any]], owned: Owned) -> list[Applied]:
        """What `write` would do."""
        return self._plan(manifests, owned).planned

    def write(self, manifests: Iterable[Mapping[str, Any]], owned: Owned) -> list[Applied]:
        """Writes the files, and removes those of objects that are `owned` and not among them. A pause that a file holds is kept.

        A file that says the same already keeps its bytes. The list of files comes before what it no longer names goes. Raises DeployError
        when the directory cannot be read or written, or is somebody else's.
        """
        change = self._plan(manifests, owned)
        try:
            for (name, manifest), applied in zip(change.wanted.items(), change.planned, strict=False):
                if applied.done != "found":
                    write_whole(self._directory / name, to_yaml(manifest).encode())
            self._list(change)
            for name in change.gone:
                (self._directory / name).unlink(missing_ok=True)
        except OSError as error:
            raise DeployError(f"{self._directory} cannot be written: {error.strerror}", "change its owner, or name another one") from error
        return change.planned

    def files(self, manifests: Iterable[Mapping[str, Any]], owned: Owned) -> set[str]:
        """The names of all files that `write` would see to."""
        change = self._plan(manifests, owned)
        return {*change.wanted, *change.gone, KUSTOMIZATION}

    def _plan(self, manifests: Iterable[Mapping[str, Any]], owned: Owned) -> _Change:
        names = self._listed().get("resources", [])
        there = self._read(names)
        wanted = {file_name(manifest): _kept(for_gitops(manifest), there) for manifest in manifests}
        gone = {name: manifest for name, manifest in sorted(there.items()) if name not in wanted and owned(manifest)}
        planned = [_look(manifest, there.get(name)) for name, manifest in wanted.items()]
        planned += [Applied(plain_kind(manifest), manifest["metadata"]["name"], "removed") for manifest in gone.values()]
        others = tuple(name for name in names if name not in wanted and name not in gone and self._stays(name))
        return _Change(wanted, gone, others, planned)

    def _stays(self, name: str) -> bool:
        """One of ours that somebody deleted goes from the list."""
        return not is_ours(name) or (self._directory / name).exists()

    def _list(self, change: _Change) -> None:
        before = self._listed()
        ours = {name: manifest["kind"] for name, manifest in {**self._read(change.others), **change.wanted}.items()}
        names = sorted({*change.wanted, *change.others}, key=lambda name: (place_of(ours.get(name, "")), name))
        after = {**before, **_KINDS, "resources": names}
        if after != before:
            write_whole(self._directory / KUSTOMIZATION, (_HEAD + to_yaml(after)).encode())

    def _listed(self) -> dict[str, Any]:
        """The list of files; empty when there is none yet."""
        listed = self._load(KUSTOMIZATION)
        if listed is None:
            return {}
        if not (self._directory / KUSTOMIZATION).read_text().startswith(_HEAD[:30]):
            raise DeployError(f"{self._directory / KUSTOMIZATION} is not from `builder deploy`", "name a directory of its own")
        names = listed.setdefault("resources", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DeployError(f"{self._directory / KUSTOMIZATION}: resources is no list of files", "correct it, or delete it")
        return listed

    def _read(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """File name to manifest, of the files among them that are ours and are there."""
        found = {name: self._load(name) for name in names if is_ours(name)}
        return {name: manifest for name, manifest in found.items() if manifest is not None and _is_called(name, manifest)}

    def _load(self, name: str) -> dict[str, Any] | None:
        path = self._directory / name
        try:
            return parse(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DeployError(f"{path} cannot be read: {error.strerror}", "correct it, or delete it") from error


def parse(data: bytes, where: str) -> dict[str, Any]:
    """One object as YAML. Raises DeployError on anything else."""
    import yaml

    try:
        found = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise DeployError(f"{where} cannot be read: {error}", "correct it, or delete it") from error
    if not isinstance(found, dict):
        raise DeployError(f"{where} cannot be read: it holds no object", "correct it, or delete it")
    return found


def file_name(manifest: Mapping[str, Any]) -> str:
    """`workflowtemplate-finetune-0123456789ab-89abcdef.yaml`"""
    return f"{manifest['kind'].lower()}-{manifest['metadata']['name']}.yaml"


def to_yaml(value: Mapping[str, Any]) -> str:
    import yaml

    text: str = yaml.safe_dump(value, sort_keys=True, allow_unicode=True, width=120)
    return text


def is_ours(name: str) -> bool:
    """Whether a file is called as we call ours: `<kind>-<name>.yaml`."""
    return name.partition("-")[0] in _PREFIXES and name.endswith(".yaml") and "/" not in name


def _is_called(name: str, manifest: Mapping[str, Any]) -> bool:
    metadata = manifest.get("metadata")
    spec = manifest.get("spec") or {}
    named = isinstance(metadata, Mapping) and "name" in metadata and isinstance(manifest.get("kind"), str) and isinstance(spec, Mapping)
    return named and file_name(manifest) == name


def _kept(manifest: dict[str, Any], there: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A CronWorkflow that somebody paused in the directory stays so."""
    before = (there.get(file_name(manifest)) or {}).get("spec") or {}
    if manifest["kind"] != "CronWorkflow" or "suspend" not in before:
        return manifest
    return {**manifest, "spec": {**manifest["spec"], "suspend": before["suspend"]}}


def _look(manifest: Mapping[str, Any], before: Mapping[str, Any] | None) -> Applied:
    changed = differences(manifest, before, exact=True) if before is not None else ()
    done = "created" if before is None else "changed" if changed else "found"
    starts = told(before) if before is not None and manifest["kind"] == "CronWorkflow" else ""
    return Applied(plain_kind(manifest), manifest["metadata"]["name"], done, changed, starts)
