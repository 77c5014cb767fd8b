"""The store that commits go to must hold the layers of their base. This never copies them: they may be 20 GB."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import BinaryIO

from builder.errors import StoreError
from builder.image.base import Base, pinned, require_base
from builder.model.oci import Descriptor
from builder.stores.interface import Store

_AT_ONCE = 8


def hold_base(store: Store, base: Base) -> frozenset[str]:
    """Sees to it that the store holds the base's layers: mounts them when they are in the same registry. Returns what was mounted.

    Raises StoreError with its size and the command that brings it otherwise.
    """
    if store.sparse or not base.layers or store.get_manifest(base.digest) is not None:
        return frozenset()
    theirs = pinned(base.reference)[0].partition("/")
    mounted = _mount(store, base, theirs[2]) if theirs[0] in store.hosts else frozenset()
    require_base(base, store)
    return mounted


class _NotMountedError(StoreError):
    """The registry wants the bytes: it refused to mount."""


def _mount(store: Store, base: Base, repository: str) -> frozenset[str]:
    def mount(layer: Descriptor) -> str:
        try:
            store.put_blob(layer, partial(_not_here, layer), mount_from=repository)
        except _NotMountedError:
            return ""
        return layer.digest

    with ThreadPoolExecutor(_AT_ONCE, "mount") as pool:
        return frozenset(digest for digest in pool.map(mount, base.layers) if digest)


def _not_here(layer: Descriptor) -> BinaryIO:
    raise _NotMountedError(f"{layer.digest} was not mounted")
