"""The nearest ancestor whose image the store has: its layers need not be made again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from builder.errors import SourceError
from builder.image import code
from builder.image.code import Known
from builder.image.report import own_manifest
from builder.model.annotations import LARGE, RULES, SHARD
from builder.model.oci import Descriptor, Manifest, StoredManifest
from builder.model.tree import Commit
from builder.settings import ImageSettings
from builder.source.repository import Git
from builder.stores.interface import Store

_FARTHEST = 41
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Ancestor:
    """An image of an earlier commit. `shards`: shard key -> layer; `known`: what it tells about sizes of files."""

    commit: Commit
    manifest: Manifest
    shards: Mapping[str, Descriptor] = field(default_factory=dict)
    known: Known = field(default_factory=Known)


def find_ancestor(git: Git, store: Store, commit: Commit, settings: ImageSettings) -> Ancestor | None:
    """Looks for the parents first, then for first parents further back, some at a time."""
    for candidates in _batches(git, commit):
        for candidate, stored in zip(candidates, _fetch(store, candidates), strict=True):
            if stored and (manifest := own_manifest(stored)):
                return as_ancestor(git, candidate, manifest, settings)
    return None


def as_ancestor(git: Git, commit: Commit, manifest: Manifest, settings: ImageSettings) -> Ancestor:
    """What an image offers to a later commit. Sizes are taken from it only when it chose its files by the same rules."""
    shards = {layer.annotations[SHARD]: layer for layer in manifest.layers if SHARD in layer.annotations}
    known = Known()
    if manifest.annotations.get(RULES) == code.rules(settings):
        with suppress(SourceError):  # its submodules may be gone: then its layers serve, but not its list of files
            oids = frozenset(entry.oid for entry in code.select_files(git, commit, settings))
            known = Known(oids, code.read_large(manifest.annotations.get(LARGE, "")))
    return Ancestor(commit, manifest, shards, known)


def _batches(git: Git, commit: Commit) -> Iterator[list[Commit]]:
    if parents := git.parents(commit):
        yield parents
    further = islice(git.ancestors(commit), 1, _FARTHEST)
    while batch := list(islice(further, _AT_ONCE)):
        yield batch


def _fetch(store: Store, commits: list[Commit]) -> list[StoredManifest | None]:
    if len(commits) == 1:
        return [store.get_manifest(commits[0].sha)]
    with ThreadPoolExecutor(_AT_ONCE, "look") as pool:
        return list(pool.map(lambda commit: store.get_manifest(commit.sha), commits))
