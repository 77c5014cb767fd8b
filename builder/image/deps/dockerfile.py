"""Dependencies from a Dockerfile: BuildKit builds and pushes, what came out is checked against the base, and tagged by its inputs.

A build is not reproducible in general, so its key names inputs and its digest the result: the first result under a key is kept for good.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from builder.errors import DepsError
from builder.image.base import Base
from builder.image.base_hold import hold_base
from builder.image.deps import context
from builder.image.deps.artifacts import CHANGES, Artifact, Artifacts
from builder.image.deps.engines import BuildPlace, BuildRequest, Engine, built_tag, choose
from builder.image.deps.inputs import CommitFiles
from builder.model.annotations import DIFF_ID, KIND, TITLE
from builder.model.oci import Descriptor, Manifest, canonical_json
from builder.model.tree import Entry
from builder.stores.interface import Store

_ARG_BASE = re.compile(r"^\s*ARG\s+BASE\b", re.IGNORECASE | re.MULTILINE)
_FROM_BASE = re.compile(r"^\s*FROM\s+(--\S+\s+)*\$(BASE\b|\{BASE\b[^}]*\})", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class DockerfileRecipe:
    """What a Dockerfile is built with, all of it from the commit and the settings. `key` is the hash of these and of the base."""

    key: str
    path: str
    text: bytes
    context: tuple[Entry, ...]
    args: Mapping[str, str]
    target: str
    platform: str

    @property
    def tag(self) -> str:
        return f"deps-{self.key}"

    def describe(self) -> str:
        return self.path


def check(text: bytes, path: str) -> None:
    """Raises DepsError when the Dockerfile cannot stand on the base that the settings name."""
    shown = text.decode("utf-8", "replace")
    if not _ARG_BASE.search(shown) or not _FROM_BASE.search(shown):
        raise DepsError(f"{path} does not take its base from builder", "begin it with the lines `ARG BASE` and `FROM ${BASE}`")


def build(recipe: DockerfileRecipe, files: CommitFiles, base: Base, artifacts: Artifacts, place: BuildPlace) -> Artifact:
    """Builds, pushes to the store's repository, checks, tags. Raises DepsError when it cannot be built here or is not built on the base."""
    here = replace(place, repository=place.repository or artifacts.store.name)
    engine = choose(here)
    hold_base(artifacts.store, base)
    # An engine that was stopped after its push, and before the tag below, has left what is wanted.
    left = artifacts.store.get_manifest(built_tag(recipe.key))
    ref = left.digest if left else _build(recipe, files, base, here.repository, engine)
    return artifacts.adopt(recipe.tag, "deps", on_base(artifacts.store, ref, base, recipe.path))


def _build(recipe: DockerfileRecipe, files: CommitFiles, base: Base, repository: str, engine: Engine) -> str:
    with tempfile.TemporaryDirectory(prefix="builder-deps-") as scratch:
        directory, text = Path(scratch) / "context", Path(scratch) / "dockerfile" / "Dockerfile"
        directory.mkdir()
        text.parent.mkdir()
        text.write_bytes(recipe.text)
        context.export(files, recipe.context, directory)
        args = {**recipe.args, "BASE": base.reference}
        return engine(BuildRequest(text, directory, args, recipe.target, recipe.platform, repository, recipe.key))


def on_base(store: Store, ref: str, base: Base, path: str) -> Manifest:
    """The built image's manifest, with the base's own layers below and every layer marked for what it is."""
    stored = store.get_manifest(ref)
    if stored is None:
        raise DepsError(f"{store.name} lacks {ref}, which was just pushed to it", "run `builder deps` again")
    built = Manifest.from_bytes(stored.data)
    image = json.loads(b"".join(store.open_blob(built.config.digest)))
    diff_ids = tuple(image["rootfs"]["diff_ids"])
    height = len(base.diff_ids)
    if diff_ids[:height] != base.diff_ids or len(diff_ids) != len(built.layers):
        raise DepsError(f"{path} makes an image that is not built on {base.reference}", "its last stage must start with `FROM ${BASE}`")
    titles = _titles(image, len(diff_ids))
    upper = zip(built.layers[height:], diff_ids[height:], titles[height:], strict=True)
    layers = tuple(_marked(layer, "base") for layer in base.layers) + tuple(
        _marked(layer, "deps", diff_id=diff_id, title=title) for layer, diff_id, title in upper
    )
    changes = _changes(base.config.get("config") or {}, image.get("config") or {})
    return Manifest(built.config, layers, {CHANGES: canonical_json(changes).decode()})


def _marked(layer: Descriptor, kind: str, diff_id: str = "", title: str = "") -> Descriptor:
    facts = {KIND: kind, DIFF_ID: diff_id, TITLE: title}
    return replace(layer, annotations={name: value for name, value in facts.items() if value})


def _titles(image: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Per layer, the instruction that made it, as the image's history has it; a plain word where the history does not fit."""
    lines = [entry.get("created_by", "") for entry in image.get("history") or () if not entry.get("empty_layer")]
    if len(lines) != count:
        return ("deps: Dockerfile",) * count
    return tuple("deps: " + re.sub(r"\s+", " ", line.removesuffix("# buildkit")).strip()[:80] for line in lines)


def _changes(base: Mapping[str, Any], built: Mapping[str, Any]) -> dict[str, Any]:
    return {name: built.get(name) for name in sorted({*base, *built}) if base.get(name) != built.get(name)}
