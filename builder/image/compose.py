"""The layers, config and manifest of a commit's image. Blobs are on their way to the store as soon as they are written."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor, Future
from contextlib import closing
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

from builder.image import assemble, code
from builder.image.ancestors import Ancestor
from builder.image.base import Base, scratch
from builder.image.base_hold import hold_base
from builder.image.budget import choose_budget
from builder.image.code import CodeTree
from builder.image.layers import CODEC, write_layer
from builder.image.report import settings_key
from builder.image.shards import Shard, split_tree
from builder.model.annotations import BASE_DIGEST, DIFF_ID, INPUTS, KIND, LARGE, RULES, SETTINGS, SHARD, TITLE
from builder.model.oci import Descriptor, Manifest, canonical_json, sha256
from builder.model.tree import Commit
from builder.settings import ImageSettings, image_key
from builder.source.repository import Git
from builder.stores.interface import Store

FORMAT = f"1 {CODEC}"
"""Everything that shapes an image and is no setting: a change of it changes every inputs key."""


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
        base = [assemble.base_name(self.settings), self.base.digest]
        parts = [commit.sha, image_key(self.settings), base, below, self.config, FORMAT]
        return sha256(canonical_json(parts))[7:23]


@dataclass(frozen=True, slots=True)
class Composed:
    """An image that is all decided, while its blobs may still be under way. `mounted` are digests of base layers.

    `pointers` are the paths of Git LFS pointers that stand for content.
    """

    commit: Commit
    manifest: Manifest
    mounted: frozenset[str]
    pointers: tuple[str, ...]
    sending: Sending


def compose(git: Git, store: Store, commit: Commit, inputs: Inputs, ancestor: Ancestor | None, pool: Executor) -> Composed:
    """Takes layers over from the ancestor's image, writes the others, and gives every new blob to the pool to send."""
    same_base = ancestor is not None and ancestor.manifest.annotations.get(BASE_DIGEST, "") == inputs.base.digest
    mounted = frozenset[str]() if same_base else hold_base(store, inputs.base)
    tree = code.code_tree(git, commit, inputs.settings, ancestor.known if ancestor else code.Known())
    shards = split_tree(tree.entries, dict(tree.large), choose_budget(inputs.base.layers, inputs.below))
    sending = Sending(store, pool)
    layers = _layers(git, commit, inputs.settings, shards, ancestor.shards if ancestor else {}, sending)
    added = (*inputs.below, *layers)
    config = assemble.image_config(inputs.base, inputs.config, commit, inputs.settings, added)
    manifest = assemble.image_manifest(inputs.base, config, added, commit, inputs.settings, _annotations(commit, inputs, tree))
    sending.blob(manifest.config, config)
    pointers = tuple(entry.path.decode("utf-8", "replace") for entry in tree.pointers)
    return Composed(commit, manifest, mounted, pointers, sending)


def _layers(
    git: Git, commit: Commit, settings: ImageSettings, shards: tuple[Shard, ...], reusable: Mapping[str, Descriptor], sending: Sending
) -> tuple[Descriptor, ...]:
    keyed = [(shard, shard.key(settings.workdir)) for shard in shards]
    new = [shard for shard, key in keyed if key not in reusable]
    git.fetch_missing(commit, [entry for shard in new for entry in shard.entries])
    written = {key: sending.shard(git, settings.workdir, shard) for shard, key in keyed if key not in reusable}
    return tuple(_labelled(written[key].result() if key in written else reusable[key], shard, key) for shard, key in keyed)


class Sending:
    """Layers being written and blobs being sent by a pool. Remembers which digests were really sent."""

    def __init__(self, store: Store, pool: Executor) -> None:
        self._store = store
        self._pool = pool
        self._sent: list[Future[str]] = []

    def shard(self, git: Git, workdir: str, shard: Shard) -> Future[Descriptor]:
        """The layer's descriptor, with its DiffID, as soon as it is written; it is sent after that."""
        written: Future[Descriptor] = Future()

        def work() -> str:
            try:
                with closing(code.layer_files(git, workdir, shard.entries)) as files:
                    layer = write_layer(files)
            except BaseException as error:
                written.set_exception(error)
                raise
            written.set_result(replace(layer.descriptor, annotations={DIFF_ID: layer.diff_id}))
            return layer.descriptor.digest if self._store.put_blob(layer.descriptor, layer.open) else ""

        self._sent.append(self._pool.submit(work))
        return written

    def blob(self, descriptor: Descriptor, data: bytes) -> None:
        self._sent.append(self._pool.submit(lambda: descriptor.digest if self._store.put_blob(descriptor, lambda: BytesIO(data)) else ""))

    def finish(self) -> frozenset[str]:
        """Waits until everything is there; raises the first error. The digests that were sent."""
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
