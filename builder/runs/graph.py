"""How a commit, its images, their templates, runs and checkpoints hang together, from whichever end one comes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from builder.cluster.interface import Cluster
from builder.data.interface import Objects
from builder.data.threads import in_threads
from builder.errors import IntegrityError
from builder.image.report import own_manifest
from builder.image.verify import commit_of
from builder.model.oci import Manifest
from builder.model.removed import Removed
from builder.runs.history import Seen
from builder.steps.freeze import owner_key
from builder.steps.outcome import Records, training_of
from builder.stores.interface import Store


@dataclass(frozen=True, slots=True)
class ImageNode:
    """An image of the commit, with the tags that name it; `size` is that of all its layers, in bytes as stored."""

    digest: str
    reference: str
    tags: tuple[str, ...]
    layers: int
    size: int


@dataclass(frozen=True, slots=True)
class TemplateNode:
    """A template in the cluster, the image that it runs, and the schedules that start it."""

    name: str
    flow: str
    digest: str
    schedules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckpointNode:
    """A frozen checkpoint: the runs that made it, and those that only evaluated it. `size` in bytes."""

    digest: str
    size: int
    made_by: tuple[str, ...]
    used_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """Of one commit, with its name before the slimmings and what these took out of it. `missing` says what could not be asked, and why."""

    commit: str
    subject: str
    author: str
    images: tuple[ImageNode, ...] = ()
    templates: tuple[TemplateNode, ...] = ()
    runs: tuple[Seen, ...] = ()
    checkpoints: tuple[CheckpointNode, ...] = ()
    was: str = ""
    lost: tuple[Removed, ...] = ()
    missing: tuple[str, ...] = field(default=())


def images_of(store: Store, sha: str, also: Sequence[str] = ()) -> tuple[ImageNode, ...]:
    """What the store has under the commit's tags, and by the digests in `also`, if they are of the commit."""
    tags = [tag for tag in store.list_tags() if tag == sha or tag.startswith(f"{sha}-")]
    names: dict[str, list[str]] = {}
    manifests: dict[str, Manifest] = {}
    for ref, stored in zip([*tags, *also], in_threads(store.get_manifest, [*tags, *also]), strict=True):
        manifest = own_manifest(stored) if stored else None
        if stored and manifest and commit_of(manifest) == sha:
            manifests[stored.digest] = manifest
            names.setdefault(stored.digest, []).extend([ref] if ref in tags else [])
    return tuple(_image(store, digest, manifest, names[digest]) for digest, manifest in manifests.items())


def _image(store: Store, digest: str, manifest: Manifest, tags: Sequence[str]) -> ImageNode:
    size = sum(layer.size for layer in manifest.layers)
    return ImageNode(digest, store.reference(digest), tuple(tags), len(manifest.layers), size)


def commit_of_image(store: Store, digest: str) -> str:
    """The commit that an image of this tool is of; empty when the store has no such image."""
    try:
        stored = store.get_manifest(digest)
        manifest = own_manifest(stored) if stored else None
        return commit_of(manifest) if manifest else ""
    except IntegrityError:
        return ""


def templates_of(cluster: Cluster, sha: str) -> tuple[TemplateNode, ...]:
    """Raises ClusterError, AuthError."""
    wanted = {"builder/commit": sha}
    started: dict[str, list[str]] = {}
    for cron in cluster.list("cronworkflows", wanted):
        name = cron["spec"].get("workflowSpec", {}).get("workflowTemplateRef", {}).get("name", "")
        started.setdefault(str(name), []).append(str(cron["metadata"]["name"]))
    return tuple(_template(found["metadata"], started) for found in cluster.list("workflowtemplates", wanted))


def _template(metadata: Mapping[str, Any], started: Mapping[str, Sequence[str]]) -> TemplateNode:
    reference = str((metadata.get("annotations") or {}).get("builder/reference", ""))
    name = str(metadata["name"])
    return TemplateNode(name, str(metadata["labels"].get("builder/flow", "")), reference.rpartition("@")[2], tuple(started.get(name, ())))


def checkpoints_of(runs: Sequence[Seen]) -> tuple[CheckpointNode, ...]:
    """The checkpoints that the runs made or evaluated."""
    made: dict[str, list[str]] = {}
    used: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for seen in runs:
        for digest, size, mine in checkpoints_in(seen.records):
            (made if mine else used).setdefault(digest, []).append(seen.run)
            sizes[digest] = max(size, sizes.get(digest, 0))
    return tuple(CheckpointNode(digest, size, tuple(made.get(digest, ())), tuple(used.get(digest, ()))) for digest, size in sizes.items())


def checkpoints_in(records: Records) -> Iterator[tuple[str, int, bool]]:
    """The checkpoint of a run with its size, and whether the run made it: one that is kept is another run's."""
    training, frozen = training_of(records), records.get("freeze", {})
    digest = str((training.get("result") or {}).get("checkpoint") or frozen.get("checkpoint") or "")
    if digest:
        size = int(frozen.get("size") or (training.get("result") or {}).get("size") or 0)
        yield digest, size, not training.get("kept")


def makers_of(objects: Objects, digest: str) -> tuple[dict[str, Any], ...]:
    """What was written down when a checkpoint was frozen, by each run that made it: run, flow, commit, reference, frozen."""
    found = [objects.get(listed.key) for listed in objects.list(owner_key(digest))]
    return tuple(sorted((json.loads(data) for data in found if data), key=lambda made: str(made["frozen"])))
