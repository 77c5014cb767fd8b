"""What another job of continuous integration is bringing meanwhile: a base, or dependencies from a Dockerfile. It is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable

from builder.errors import StoreError
from builder.image.base import Base
from builder.image.base_hold import hold_base
from builder.image.deps import Artifacts, Recipe, lookup
from builder.image.deps.dockerfile import DockerfileRecipe
from builder.model.progress import Progress
from builder.stores.interface import Store

_EVERY = 5.0  # seconds between two looks: one request each


def wait_for_base(store: Store, base: Base, until: float, progress: Progress) -> None:
    """Until the store holds it, or `time.monotonic()` is `until`: then whoever needs it says what is missing."""

    def held() -> bool:
        try:
            hold_base(store, base)
        except StoreError:
            return False
        return True

    _wait(held, f"the base {base.digest[7:19]}", until, progress)


def wait_for_deps(recipe: Recipe | None, artifacts: Artifacts, until: float, progress: Progress) -> None:
    """Until somebody has built them, or `time.monotonic()` is `until`. A lock is installed here at once: nobody is waited for."""
    if isinstance(recipe, DockerfileRecipe):
        _wait(lambda: lookup(recipe, artifacts) is not None, f"{recipe.tag} from {recipe.path}", until, progress)


def _wait(there: Callable[[], bool], what: str, until: float, progress: Progress) -> None:
    if there():
        return
    with progress.task(f"{what} is not there yet: waiting for the job that brings it, seconds") as advance:
        while (left := until - time.monotonic()) > 0:
            pause = min(_EVERY, left)
            time.sleep(pause)
            advance(round(pause))
            if there():
                return
