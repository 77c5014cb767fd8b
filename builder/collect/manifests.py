"""What a store holds, as clean-up must know it: of each manifest who it is, what it names, and which blobs it keeps.

Manifests are read some at a time and forgotten again. What is kept of each is a kilobyte, as blobs are numbers here: ten thousand images
of forty layers take some ten megabytes.
"""

from __future__ import annotations

import json
import re
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from builder.data.threads import in_threads
from builder.errors import IntegrityError
from builder.model.annotations import BASE_DIGEST, INPUTS, KIND, REVISION, SOURCE
from builder.model.index import is_index
from builder.model.oci import StoredManifest, is_digest
from builder.stores.interface import Held, Holdings

IMAGE, REFERRER, INDEX, FOREIGN = "image", "referrer", "index", "foreign"
ARTIFACTS = ("base", "deps", "tool", "handler", "environment", "built")
"""What lies below images of commits, each under a tag that begins so: builder/image/{base,deps/artifacts,tool,handler}.py."""

_AT_ONCE = 64
_OF_COMMIT = re.compile(r"(?P<sha>[0-9a-f]{40})(-[0-9a-f]{16})?\Z")
_KEY = re.compile(r"[0-9a-f]{16,64}\Z")
_OF_SUBJECT = re.compile(r"sha256-(?P<hex>[0-9a-f]{64})(\.[a-z]+)?\Z")
"""The list of referrers where the registry keeps none; with a suffix what cosign attaches."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A manifest: `pushed` in seconds since 1970, None where the store does not know; `size` of its own bytes.

    `kind` is IMAGE, one of ARTIFACTS, REFERRER, INDEX or FOREIGN (another tool's); `commit` is set of images, `subject` of referrers;
    `source` is where it says that its commit is from (a URL, mostly empty);
    `names` are digests of manifests that it needs: its base's, or those in an index. `layers` and `blobs` (these with the config) are
    numbers of the inventory.
    """

    digest: str
    tags: tuple[str, ...]
    pushed: float | None
    size: int
    kind: str
    commit: str = ""
    subject: str = ""
    names: tuple[str, ...] = ()
    layers: array[int] = field(default_factory=lambda: array("I"))
    blobs: array[int] = field(default_factory=lambda: array("I"))
    source: str = ""

    @property
    def label(self) -> str:
        """What people know it by."""
        if self.kind == IMAGE:
            return self.commit[:12]
        if self.subject:
            return f"of {self.subject[:19]}"
        return ", ".join(self.tags)


@dataclass(slots=True)
class Inventory:
    """All manifests by digest, and the blobs that they name: digest and bytes by number."""

    facts: dict[str, Fact] = field(default_factory=dict)
    blobs: list[str] = field(default_factory=list)
    sizes: array[int] = field(default_factory=lambda: array("Q"))
    _numbers: dict[str, int] = field(default_factory=dict)

    def number(self, digest: str, size: int) -> int:
        known = self._numbers.get(digest)
        if known is None:
            known = self._numbers[digest] = len(self.blobs)
            self.blobs.append(digest)
            self.sizes.append(size)
        return known

    def add(self, held: Held, stored: StoredManifest) -> Fact:
        fact = self.facts[held.digest] = _fact(self, held, stored)
        return fact


def take_inventory(store: Holdings) -> Inventory:
    """Reads every manifest that the store lists, and those that its indexes name. Raises StoreError, AuthError, IntegrityError."""
    inventory = Inventory()
    unread: Iterable[Held] = store.held()
    while children := _read(store, inventory, unread):
        unread = [Held(digest, (), inventory.facts[parent].pushed) for digest, parent in children.items()]
    return inventory


def _read(store: Holdings, inventory: Inventory, listed: Iterable[Held]) -> dict[str, str]:
    """The manifests that indexes name and nobody has listed, with the index."""
    waiting, indexes = iter(listed), list[Fact]()
    while batch := list(islice(waiting, _AT_ONCE)):
        for held, stored in zip(batch, in_threads(store.get_manifest, [held.digest for held in batch]), strict=True):
            if stored is not None:  # it may have gone since
                fact = inventory.add(held, stored)
                indexes += [fact] if fact.kind == INDEX or (fact.names and fact.kind == REFERRER) else []
    return {child: fact.digest for fact in indexes for child in fact.names if child not in inventory.facts and _is_there(store, child)}


def _is_there(store: Holdings, digest: str) -> bool:
    return store.get_manifest(digest) is not None


def _fact(inventory: Inventory, held: Held, stored: StoredManifest) -> Fact:
    raw = _object(stored.data, stored.digest)
    plain = (held.digest, held.tags, held.pushed, len(stored.data))
    attached = next((f"sha256:{match['hex']}" for match in map(_OF_SUBJECT.match, held.tags) if match), "")
    if is_index(stored.media_type) or isinstance(raw.get("manifests"), list):
        children = tuple(part["digest"] for part in _parts(raw.get("manifests")))
        return Fact(*plain, REFERRER if attached else INDEX, subject=attached, names=children)
    layers = array("I", [inventory.number(part["digest"], part["size"]) for part in _parts([*_list(raw, "layers"), *_list(raw, "blobs")])])
    blobs = layers + array("I", [inventory.number(part["digest"], part["size"]) for part in _parts([raw.get("config")])])
    subject = next((part["digest"] for part in _parts([raw.get("subject")])), "") or attached
    kind, commit = _who(held, raw)
    base = str(_annotations(raw).get(BASE_DIGEST, ""))
    names = (base,) if is_digest(base) else ()
    source = sys.intern(str(_annotations(raw).get(SOURCE, "")))
    return Fact(*plain, REFERRER if subject else kind, "" if subject else commit, subject, names, layers, blobs, source)


def _who(held: Held, raw: Mapping[str, Any]) -> tuple[str, str]:
    """Kind, and commit of an image. An artifact has its tag, and says of each layer what it is; what an engine pushed does not."""
    if INPUTS in _annotations(raw):
        tagged = next((match["sha"] for match in map(_OF_COMMIT.match, held.tags) if match), "")
        said = str(_annotations(raw).get(REVISION, ""))
        return IMAGE, said if _OF_COMMIT.match(said) else tagged
    layers = _list(raw, "layers")
    for kind, key in ((kind, key) for kind, _, key in (tag.partition("-") for tag in held.tags) if kind in ARTIFACTS):
        is_base = kind == "base" and len(key) == 12 and held.digest.startswith(f"sha256:{key}")
        is_built = kind == "built" and _KEY.match(key) is not None
        if is_base or is_built or (kind not in ("base", "built") and layers and all(map(_kind_of, layers))):
            return kind, ""
    kinds = set(map(_kind_of, layers))
    if not held.tags and len(kinds) == 1 and kinds <= {"deps", "tool"}:  # one that has lost its name
        return str(kinds.pop()), ""
    return FOREIGN, ""


def _kind_of(layer: Any) -> Any:
    return isinstance(layer, dict) and _annotations(layer).get(KIND)


def _object(data: bytes, digest: str) -> dict[str, Any]:
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"the manifest {digest} cannot be read: {error}", "look at it; nobody knows which blobs it needs") from error
    if not isinstance(raw, dict):
        raise IntegrityError(f"the manifest {digest} is none", "look at it; nobody knows which blobs it needs")
    return raw


def _annotations(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    found = raw.get("annotations")
    return found if isinstance(found, dict) else {}


def _list(raw: Mapping[str, Any], key: str) -> list[Any]:
    found = raw.get(key)
    return found if isinstance(found, list) else []


def _parts(found: Any) -> Iterator[dict[str, Any]]:
    """Those that are descriptors."""
    for part in found if isinstance(found, list) else []:
        if isinstance(part, dict) and isinstance(part.get("digest"), str) and is_digest(part["digest"]):
            size = part.get("size")
            yield {"digest": part["digest"], "size": size if isinstance(size, int) and size >= 0 else 0}
