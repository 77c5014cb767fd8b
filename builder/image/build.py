"""A commit becomes an image in a store: find what is there, build what is new, send it, and only then name it.

The order is law: blobs, then manifest, then tags. Killed anywhere and run again, the same digest comes out and nothing is lost.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

from builder.errors import BlobUnknownError, TagConflictError
from builder.image import assemble, code
from builder.image.ancestors import Ancestor, find_ancestor
from builder.image.base import Base, scratch
from builder.image.base_hold import hold_base
from builder.image.budget import choose_budget
from builder.image.code import CodeTree
from builder.image.layers import CODEC, write_layer
from builder.image.report import new_image, settings_key
from builder.image.shards import Shard, split_tree
from builder.model.annotations import BASE_DIGEST, DIFF_ID, INPUTS, KIND, LARGE, RULES, SETTINGS, SHARD, TITLE
from builder.model.image import BuiltImage
from builder.model.oci import MANIFEST, Descriptor, Manifest, canonical_json, sha256
from builder.model.tree import Commit
from builder.settings import ImageSettings, image_key
from builder.source.repository import Git
from builder.stores.interface import Store

FORMAT = f"1 {CODEC}"
"""Everything that shapes an image and is no setting: a change of it changes every inputs key."""

_WORKERS = 4


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything but the commit's own files that an image is made of.

    `below` are the layers between base and code (deps, tool), annotated with kind, title and diff id; `config` is the `config`
    part of the image config (Env, Entrypoint, ...) as base and dependencies have it.
    """

    settings: ImageSettings
    base: Base = field(default_factory=scratch)
    below: tuple[Descriptor, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)

    def key(self, commit: Commit) -> str:
        """The inputs key: 16 hex digits that name what the digest is a function of."""
        below = [layer.digest for layer in self.below]
        parts = [commit.sha, image_key(self.settings), self.base.digest, below, self.config, FORMAT]
        return sha256(canonical_json(parts))[7:23]


def build_image(
    git: Git, store: Store, commit: Commit, inputs: Inputs, nearest: Ancestor | None = None, *, plain: bool = True
) -> BuiltImage:
    """Makes the store hold the commit's image and its tags: by its inputs key always, by the plain sha if `plain`.

    `nearest`: an ancestor's image, when the caller knows one.

    Raises SourceError for what git cannot give, StoreError for what the store does not take. When the store turns out to
    lack a layer that an ancestor's manifest names, everything is made again from the commit alone, once.
    """
    began, asked = time.monotonic(), store.requests
    ancestor = nearest or find_ancestor(git, store, commit, inputs.settings)
    try:
        built = _build(git, store, commit, inputs, ancestor, plain)
    except BlobUnknownError:
        if not ancestor:
            raise
        built = _build(git, store, commit, inputs, None, plain)
    return replace(
        built, requests=store.requests - asked, seconds=time.monotonic() - began, previous=ancestor.manifest if ancestor else None
    )


def _build(git: Git, store: Store, commit: Commit, inputs: Inputs, ancestor: Ancestor | None, plain: bool) -> BuiltImage:
    same_base = ancestor is not None and ancestor.manifest.annotations.get(BASE_DIGEST, "") == inputs.base.digest
    mounted = frozenset[str]() if same_base else hold_base(store, inputs.base)
    known = ancestor.known if ancestor else code.Known()
    tree = code.code_tree(git, commit, inputs.settings, known)
    shards = split_tree(tree.entries, dict(tree.large), choose_budget(inputs.base.layers, inputs.below))
    reusable = ancestor.shards if ancestor else {}
    keyed = [(shard, shard.key(inputs.settings.workdir)) for shard in shards]
    new = [shard for shard, key in keyed if key not in reusable]
    git.fetch_missing(commit, [entry for shard in new for entry in shard.entries])
    with ThreadPoolExecutor(_WORKERS, "layer") as pool:
        sending = _Sending(store, pool)
        futures = [None if key in reusable else sending.shard(git, inputs.settings.workdir, shard, key) for shard, key in keyed]
        layers = [
            _labelled(reusable[key], shard, key) if future is None else future.result()
            for (shard, key), future in zip(keyed, futures, strict=True)
        ]
        added = (*inputs.below, *layers)
        config = assemble.image_config(inputs.base, inputs.config, commit, inputs.settings, added)
        manifest = assemble.image_manifest(inputs.base, config, added, commit, inputs.settings, _annotations(commit, inputs, tree))
        sending.blob(manifest.config, config)
        sent = sending.finish()
    digest = _publish(store, commit, inputs, manifest, plain)
    pointers = tuple(entry.path.decode("utf-8", "replace") for entry in tree.pointers)
    return replace(new_image(store, commit, digest, manifest, sent, mounted), pointers=pointers)


def _publish(store: Store, commit: Commit, inputs: Inputs, manifest: Manifest, plain: bool) -> str:
    data, tag = manifest.to_bytes(), f"{commit.sha}-{inputs.key(commit)}"
    try:
        return store.put_manifest(data, MANIFEST, (tag, commit.sha) if plain else (tag,))
    except TagConflictError:
        # The plain tag went to an image of other inputs in this very moment: then it stays there. Our own must be ours.
        stored = store.get_manifest(tag)
        if stored is None or stored.data != data:
            raise
        return stored.digest


class _Sending:
    """Layers being built and blobs being sent, a few at a time. Remembers which digests were really sent."""

    def __init__(self, store: Store, pool: ThreadPoolExecutor) -> None:
        self._store = store
        self._pool = pool
        self._sent: list[Future[str]] = []

    def shard(self, git: Git, workdir: str, shard: Shard, key: str) -> Future[Descriptor]:
        result: Future[Descriptor] = Future()

        def work() -> str:
            try:
                layer = write_layer(code.layer_files(git, workdir, shard.entries))
            except BaseException as error:
                result.set_exception(error)
                raise
            descriptor = replace(layer.descriptor, annotations={DIFF_ID: layer.diff_id})
            result.set_result(_labelled(descriptor, shard, key))
            return descriptor.digest if self._store.put_blob(descriptor, layer.open) else ""

        self._sent.append(self._pool.submit(work))
        return result

    def blob(self, descriptor: Descriptor, data: bytes) -> None:
        self._sent.append(self._pool.submit(lambda: descriptor.digest if self._store.put_blob(descriptor, lambda: BytesIO(data)) else ""))

    def finish(self) -> frozenset[str]:
        """Waits for everything; raises the first error."""
        return frozenset(digest for future in self._sent if (digest := future.result()))


def _labelled(layer: Descriptor, shard: Shard, key: str) -> Descriptor:
    return replace(layer, annotations={KIND: "code", SHARD: key, TITLE: shard.title, DIFF_ID: layer.annotations[DIFF_ID]})


def _annotations(commit: Commit, inputs: Inputs, tree: CodeTree) -> dict[str, str]:
    own = {
        INPUTS: inputs.key(commit),
        SETTINGS: settings_key(inputs.settings),
        RULES: code.rules(inputs.settings),
        LARGE: code.write_large(tree.large),
    }
    return {key: value for key, value in own.items() if value}
