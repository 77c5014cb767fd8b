"""The store that commits go to must hold the layers of their base. This never copies them: they may be 20 GB."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import BinaryIO

from builder.errors import StoreError
from builder.image.base import Base, pinned, require_base
from builder.model.oci import Descriptor
from builder.stores.interface import Store


def hold_base(store: Store, base: Base) -> None:
    """Sees to it that the store holds the base's layers: mounts them when they are in the same registry.

    Raises StoreError with its size and the command that brings it otherwise.
    """
    if store.sparse or not base.layers or store.get_manifest(base.digest) is not None:
        return
    theirs = pinned(base.reference)[0].partition("/")
    if theirs[0] == store.name.partition("/")[0]:
        _mount(store, base, theirs[2])
    require_base(base, store)


class _NotMountedError(StoreError):
    """The registry wants the bytes: it refused to mount."""


def _mount(store: Store, base: Base, repository: str) -> None:
    with suppress(_NotMountedError):
        for layer in base.layers:
            store.put_blob(layer, partial(_not_here, layer), mount_from=repository)


def _not_here(layer: Descriptor) -> BinaryIO:
    raise _NotMountedError(f"{layer.digest} was not mounted")
