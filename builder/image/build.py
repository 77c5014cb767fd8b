"""Commits become images in a store: find what is there, write what is new, send it, and only then name it.

The order is law: blobs, then manifest, then tags. Killed anywhere and run again, the same digest comes out and nothing is lost.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from builder.errors import BlobUnknownError, BuilderError, SourceError, TagConflictError
from builder.image.ancestors import Ancestor, as_ancestor, find_ancestor
from builder.image.compose import Composed, Inputs, compose
from builder.image.report import new_image
from builder.model.annotations import INPUTS
from builder.model.image import BuiltImage
from builder.model.oci import MANIFEST
from builder.model.tree import Commit
from builder.source.repository import Git
from builder.stores.interface import Store

Skip = Callable[[Commit, BuilderError], None]

_WORKERS = 4
_AHEAD = 4  # commits that are composed while others before them are still being sent


def build_image(git: Git, store: Store, commit: Commit, inputs: Inputs, *, plain: bool = True) -> BuiltImage:
    """Makes the store hold the commit's image and its tags: by its inputs key always, by the plain sha if `plain`.

    Raises SourceError for what git cannot give, StoreError for what the store does not take. When the store turns out to
    lack a layer that an ancestor's manifest names, everything is made again from the commit alone, once.
    """
    return next(build_images(git, store, [(commit, inputs)], plain=plain))


def build_images(
    git: Git, store: Store, wanted: Iterable[tuple[Commit, Inputs]], *, plain: bool = True, skip: Skip | None = None
) -> Iterator[BuiltImage]:
    """The images of commits in a row, ancestors first, each on top of the one before it; in that order, each as soon as it is named.

    A commit that git cannot give, or that no image can hold, is handed to `skip`, and the others are made; without `skip` it is raised.

    While one is sent the next ones are written already. They are named one after the other, so that what a manifest takes over is there.
    """
    with _threads(_WORKERS, "layer") as pool, _threads(1, "name") as namer:
        pending: deque[Future[BuiltImage]] = deque()
        composed: Composed | None = None
        last: Future[BuiltImage] | None = None
        asked = store.requests
        for commit, inputs in wanted:
            began = time.monotonic()
            if composed:
                ancestor: Ancestor | None = as_ancestor(git, composed.commit, composed.manifest, inputs.settings)
            else:
                ancestor = find_ancestor(git, store, commit, inputs.settings)
            try:
                composed = compose(git, store, commit, inputs, ancestor, pool)
            except SourceError as error:
                if skip is None:
                    raise
                skip(commit, error)
                continue
            last = namer.submit(_finish, git, store, composed, inputs, ancestor, pool, plain, began, last)
            pending.append(last)
            if len(pending) > _AHEAD:
                yield _counted(pending.popleft().result(), store.requests - asked)
                asked = store.requests
        while pending:
            yield _counted(pending.popleft().result(), store.requests - asked)
            asked = store.requests


def _finish(
    git: Git,
    store: Store,
    composed: Composed,
    inputs: Inputs,
    ancestor: Ancestor | None,
    pool: Executor,
    plain: bool,
    began: float,
    before: Future[BuiltImage] | None,
) -> BuiltImage:
    """Raises what stopped the one `before`, which has ended: nothing is named above a gap."""
    if before:
        before.result()
    try:
        image = _name(store, composed, plain)
    except BlobUnknownError:
        if not ancestor:
            raise
        image = _name(store, compose(git, store, composed.commit, inputs, None, pool), plain)
    return replace(image, seconds=time.monotonic() - began, previous=ancestor.manifest if ancestor else None)


def _name(store: Store, composed: Composed, plain: bool) -> BuiltImage:
    sent = composed.sending.finish()
    digest = _publish(store, composed, plain)
    return replace(new_image(store, composed.commit, digest, composed.manifest, sent, composed.mounted), pointers=composed.pointers)


def _publish(store: Store, composed: Composed, plain: bool) -> str:
    data, sha = composed.manifest.to_bytes(), composed.commit.sha
    tag = f"{sha}-{composed.manifest.annotations[INPUTS]}"
    try:
        return store.put_manifest(data, MANIFEST, (tag, sha) if plain else (tag,))
    except TagConflictError:
        # The plain tag went to an image of other inputs in this very moment: then it stays there. Our own must be ours.
        stored = store.get_manifest(tag)
        if stored is None or stored.data != data:
            raise
        return stored.digest


def _counted(image: BuiltImage, requests: int) -> BuiltImage:
    return replace(image, requests=requests)


@contextmanager
def _threads(count: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """A pool that forgets what waits in it when something goes wrong, or the user has had enough."""
    pool = ThreadPoolExecutor(count, name)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
