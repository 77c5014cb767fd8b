"""How many layers the code may have on top of what is below it."""

from __future__ import annotations

from collections.abc import Sequence

from builder.errors import BuilderError
from builder.image.shards import COMPACT, FULL, Budget
from builder.model.annotations import KIND
from builder.model.oci import Descriptor

LIMIT = 125
"""overlayfs takes about this many lower directories (with the paths that Docker and containerd use)."""


def choose_budget(base: Sequence[Descriptor], below: Sequence[Descriptor]) -> Budget:
    """FULL if it fits, else COMPACT. Raises BuilderError with the counts when neither does."""
    room = LIMIT - len(base) - len(below)
    for budget in (FULL, COMPACT):
        if budget.total <= room:
            return budget
    kinds = [layer.annotations.get(KIND, "deps") for layer in below]
    counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    raise BuilderError(
        f"too many layers: {len(base)} base{', ' + counted if counted else ''} leave room for {max(room, 0)} of the {COMPACT.total} "
        f"that code needs (at most {LIMIT})",
        "squash the base, or join instructions of the Dockerfile",
    )
