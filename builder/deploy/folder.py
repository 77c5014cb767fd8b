"""Manifests as files of a directory, for those whose cluster follows a repository: one object a file, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from builder.deploy.apply import Applied
from builder.deploy.compare import differences
from builder.deploy.names import plain_kind
from builder.errors import DeployError
from builder.files import write_whole

KUSTOMIZATION = "kustomization.yaml"
_HEAD = "# made by `builder deploy --to`; whatever else is in this directory is left alone\n"

Owned = Callable[[Mapping[str, Any]], bool]
"""Whether an object is of those that are written now: if it is not among them any more, its file goes."""


class Folder:
    """`kustomization.yaml` lists the files that are ours."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def foresee(self, manifests: Iterable[Mapping[str, Any]], owned: Owned) -> list[Applied]:
        """What `write` would do."""
        there = self._read()
        wanted = {file_name(manifest): _kept(manifest, there) for manifest in manifests}
        planned = [_look(manifest, there.get(name)) for name, manifest in wanted.items()]
        gone = [manifest for name, manifest in sorted(there.items()) if name not in wanted and owned(manifest)]
        return planned + [Applied(plain_kind(manifest), manifest["metadata"]["name"], "removed") for manifest in gone]

    def write(self, manifests: Iterable[Mapping[str, Any]], owned: Owned) -> list[Applied]:
        """Writes the files, and removes those of objects that are `owned` and not among them. A pause that a file holds is kept.

        The list of files comes last. Raises DeployError when the directory cannot be read or written, or is somebody else's.
        """
        manifests = list(manifests)
        planned, there = self.foresee(manifests, owned), self._read()
        wanted = {file_name(manifest): _kept(manifest, there) for manifest in manifests}
        kept = {name for name, manifest in there.items() if name not in wanted and not owned(manifest)}
        try:
            for name, manifest in wanted.items():
                self._write(name, to_yaml(manifest))
            self._write(KUSTOMIZATION, _HEAD + to_yaml(_kustomization(sorted({*wanted, *kept}))))
            for name in there.keys() - wanted.keys() - kept:
                (self._directory / name).unlink(missing_ok=True)
        except OSError as error:
            raise DeployError(f"{self._directory} cannot be written: {error.strerror}", "change its owner, or name another one") from error
        return planned

    def _write(self, name: str, text: str) -> None:
        """A file that says the same already keeps its time."""
        path, data = self._directory / name, text.encode()
        if not path.exists() or path.read_bytes() != data:
            write_whole(path, data)

    def _read(self) -> dict[str, dict[str, Any]]:
        """File name to manifest, of the files that are ours."""
        listed = self._load(KUSTOMIZATION)
        if listed is None:
            return {}
        if not (self._directory / KUSTOMIZATION).read_text().startswith(_HEAD[:30]):
            raise DeployError(f"{self._directory / KUSTOMIZATION} is not from `builder deploy`", "name a directory of its own")
        found = {name: self._load(name) for name in listed.get("resources", ())}
        return {name: manifest for name, manifest in found.items() if manifest is not None}

    def _load(self, name: str) -> dict[str, Any] | None:
        import yaml

        path = self._directory / name
        try:
            found: dict[str, Any] = yaml.safe_load(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, yaml.YAMLError) as error:
            raise DeployError(f"{path} cannot be read: {error}", "correct it, or delete it") from error
        return found


def file_name(manifest: Mapping[str, Any]) -> str:
    """`workflowtemplate-finetune-0123456789ab-89abcdef.yaml`"""
    return f"{manifest['kind'].lower()}-{manifest['metadata']['name']}.yaml"


def to_yaml(value: Mapping[str, Any]) -> str:
    import yaml

    text: str = yaml.safe_dump(value, sort_keys=True, allow_unicode=True, width=120)
    return text


def _kustomization(files: list[str]) -> dict[str, Any]:
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": files}


def _kept(manifest: Mapping[str, Any], there: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A CronWorkflow that somebody paused in the directory stays so."""
    before = there.get(file_name(manifest))
    if manifest["kind"] != "CronWorkflow" or before is None or "suspend" not in before["spec"]:
        return dict(manifest)
    return {**manifest, "spec": {**manifest["spec"], "suspend": before["spec"]["suspend"]}}


def _look(manifest: Mapping[str, Any], before: Mapping[str, Any] | None) -> Applied:
    changed = differences(manifest, before, exact=True) if before is not None else ()
    done = "created" if before is None else "changed" if changed else "found"
    return Applied(plain_kind(manifest), manifest["metadata"]["name"], done, changed)
