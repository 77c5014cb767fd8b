"""What came of building an image."""

from __future__ import annotations

from dataclasses import dataclass

from builder.model.oci import Manifest
from builder.model.tree import Commit


@dataclass(frozen=True, slots=True)
class LayerReport:
    """A layer of an image: `size` in bytes as stored; `kind` is base, deps, tool or code; `state` is uploaded, mounted, reused, or
    absent (a layer of the base that a sparse store does without).
    """

    digest: str
    size: int
    kind: str
    state: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """A commit's image.

    `new_bytes` were sent, `reused_bytes` were there or mounted; both count bytes as stored. `existed`: nothing was built.
    `previous` is the image of the ancestor that layers were taken over from.
    `pointers` are the paths of Git LFS pointers that the image holds in place of content.
    """

    commit: Commit
    reference: str
    digest: str
    layers: tuple[LayerReport, ...]
    new_bytes: int
    reused_bytes: int
    manifest: Manifest
    existed: bool = False
    requests: int = 0
    seconds: float = 0.0
    pointers: tuple[str, ...] = ()
    previous: Manifest | None = None
