"""The images of commits, and what they weigh, from their manifests alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from builder.data.threads import in_threads
from builder.errors import IntegrityError
from builder.image.report import own_manifest
from builder.image.verify import commit_of
from builder.model.annotations import CREATED, KIND, TITLE
from builder.model.oci import Manifest
from builder.page.facts import Image, Images, Layer
from builder.stores.interface import Store

_OF_COMMIT = re.compile(r"(?P<sha>[0-9a-f]{40})(?:-[0-9a-f]+)?\Z")


@dataclass(frozen=True, slots=True)
class Known:
    """An image as the store has it; `created` is its commit's date as the image says it."""

    digest: str
    created: str
    manifest: Manifest


def tags_of(store: Store) -> dict[str, str]:
    """Commit to the tag that names its image: the plain one where there is one, which is the first of them in order."""
    found: dict[str, str] = {}
    for match in filter(None, map(_OF_COMMIT.match, store.list_tags())):
        found.setdefault(match["sha"], match[0])
    return found


def manifests_of(store: Store, tags: Mapping[str, str], wanted: Iterable[str]) -> dict[str, Known]:
    """By commit, of those wanted that the store has. One that is damaged, or no image of this tool, is left out."""
    commits = [sha for sha in wanted if sha in tags]
    found = in_threads(lambda sha: _known(store, tags[sha], sha), commits)
    return {sha: known for sha, known in zip(commits, found, strict=True) if known}


def _known(store: Store, tag: str, sha: str) -> Known | None:
    try:
        stored = store.get_manifest(tag)
        manifest = own_manifest(stored) if stored else None
    except IntegrityError:
        return None
    if stored is None or manifest is None or commit_of(manifest) != sha:
        return None
    return Known(stored.digest, manifest.annotations.get(CREATED, ""), manifest)


def weighed(known: Mapping[str, Known], oldest_first: Sequence[str], tagged: int, name: str) -> Images:
    """A layer is new in the image of the oldest commit that has it."""
    seen: set[str] = set()
    by_commit = {sha: _image(known[sha], seen) for sha in oldest_first if sha in known}
    return Images(by_commit, tagged, name)


def _image(known: Known, seen: set[str]) -> Image:
    layers = []
    for layer in known.manifest.layers:
        kind, title = layer.annotations.get(KIND, "base"), layer.annotations.get(TITLE, "")
        layers.append(Layer(kind, title, layer.size, layer.digest not in seen))
        seen.add(layer.digest)
    return Image(known.digest, tuple(layers), known.manifest.config.size)
