"""Whether an image is exactly its commit: every code layer is made again from git and compared, DiffID by DiffID."""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from builder.errors import IntegrityError
from builder.image import code
from builder.image.budget import choose_budget
from builder.image.layers import write_layer
from builder.image.shards import Shard, split_tree
from builder.model.annotations import DIFF_ID, INPUTS, KIND, REVISION, SHARD, TITLE
from builder.model.oci import Descriptor, Manifest
from builder.model.tree import EXECUTABLE, FILE, SYMLINK, Commit, Entry
from builder.settings import ImageSettings
from builder.source.repository import Git
from builder.stores.chunks import as_file
from builder.stores.interface import Store

_MOST = 20
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """`layers` code layers were compared; `problems` names what differs, nothing when the image is its commit."""

    commit: Commit
    digest: str
    layers: int
    problems: tuple[str, ...]


def commit_of(manifest: Manifest) -> str:
    """The commit that an image says it is of. Raises IntegrityError for an image that says none."""
    sha = manifest.annotations.get(REVISION, "")
    if not sha or INPUTS not in manifest.annotations:
        raise IntegrityError("this image was not made by this tool: its manifest names no commit", "`builder image` makes one")
    return sha


def verify_image(git: Git, store: Store, commit: Commit, digest: str, settings: ImageSettings, *, deep: bool = False) -> Verdict:
    """Compares the image with the commit. With `deep` the store's own bytes of every code layer are read and hashed too.

    Raises IntegrityError when manifest or config are damaged, SourceError when git lacks something.
    """
    manifest = _manifest(store, digest)
    code_layers = [layer for layer in manifest.layers if layer.annotations.get(KIND) == "code"]
    promised = _diff_ids(store, manifest)[-len(code_layers) :] if code_layers else []
    if code_layers and list(manifest.layers[-len(code_layers) :]) != code_layers:
        return Verdict(commit, digest, len(code_layers), ("a layer that is not the commit's lies above its files",))
    shards = _shards(git, commit, settings, manifest)
    if [shard.key(settings.workdir) for shard in shards] != [layer.annotations.get(SHARD) for layer in code_layers]:
        problems = _compare_files(git, store, settings, code_layers, [entry for shard in shards for entry in shard.entries])
        return Verdict(commit, digest, len(code_layers), tuple(problems) or (_other_plan(),))
    problems = []
    for shard, layer, diff_id in zip(shards, code_layers, promised, strict=True):
        problems += _compare_layer(git, store, settings, shard, layer, diff_id)
        problems += _read_back(store, layer) if deep else []
    return Verdict(commit, digest, len(code_layers), tuple(problems))


def _shards(git: Git, commit: Commit, settings: ImageSettings, manifest: Manifest) -> tuple[Shard, ...]:
    tree = code.code_tree(git, commit, settings, code.Known())
    kinds = [layer.annotations.get(KIND, "base") for layer in manifest.layers]
    base = [layer for layer, kind in zip(manifest.layers, kinds, strict=True) if kind == "base"]
    below = [layer for layer, kind in zip(manifest.layers, kinds, strict=True) if kind not in ("base", "code")]
    return split_tree(tree.entries, dict(tree.large), choose_budget(base, below))


def _manifest(store: Store, digest: str) -> Manifest:
    stored = store.get_manifest(digest)
    if stored is None:
        raise IntegrityError(f"{store.name} has no image {digest}")
    return Manifest.from_bytes(stored.data)


def _diff_ids(store: Store, manifest: Manifest) -> list[str]:
    config = json.loads(b"".join(store.open_blob(manifest.config.digest)))
    found = config.get("rootfs", {}).get("diff_ids", [])
    if len(found) != len(manifest.layers):
        raise IntegrityError(f"the config {manifest.config.digest} names {len(found)} layers, the manifest {len(manifest.layers)}")
    return list(found)


def _compare_layer(git: Git, store: Store, settings: ImageSettings, shard: Shard, layer: Descriptor, promised: str) -> list[str]:
    made = write_layer(code.layer_files(git, settings.workdir, shard.entries))
    if made.diff_id == promised == layer.annotations.get(DIFF_ID):
        return [] if made.descriptor.digest == layer.digest else _read_back(store, layer)
    found = _compare_files(git, store, settings, [layer], shard.entries)
    return found or [f"{shard.title}: the layer should be {made.diff_id}, the config says {promised}"]


def _read_back(store: Store, layer: Descriptor) -> list[str]:
    """Reads the layer's bytes; they hash to its digest, and unpacked to its DiffID, or it is a problem."""
    plain, unpack = hashlib.sha256(), zlib.decompressobj(31)
    try:
        for chunk in store.open_blob(layer.digest):
            plain.update(unpack.decompress(chunk))
    except (IntegrityError, zlib.error) as error:
        return [f"{layer.annotations.get(TITLE)}: the stored layer {layer.digest} is damaged: {error}"]
    found = f"sha256:{plain.hexdigest()}"
    promised = layer.annotations.get(DIFF_ID)
    return [] if found == promised else [f"{layer.annotations.get(TITLE)}: unpacks to {found}, not to {promised}"]


def _compare_files(git: Git, store: Store, settings: ImageSettings, layers: Sequence[Descriptor], entries: Sequence[Entry]) -> list[str]:
    """The paths that differ between what the layers hold and what the commit has, at most 20."""
    expected = {file.path: (file.mode, _hash(file.read())) for file in code.layer_files(git, settings.workdir, entries)}
    problems = []
    for layer in layers:
        for path, mode, content in _tar_files(store, layer):
            wanted = expected.pop(path, None)
            name = path.decode("utf-8", "replace")
            if wanted is None:
                problems.append(f"{name}: is in the image, not in the commit")
            elif mode == 0:
                problems.append(f"{name}: is of another kind, owner or mode in the image than any file of a commit")
            elif wanted[0] != mode:
                problems.append(f"{name}: has mode {mode:o} in the image, {wanted[0]:o} in the commit")
            elif wanted[1] != content:
                problems.append(f"{name}: has other content in the image than in the commit")
    problems += [f"{path.decode('utf-8', 'replace')}: is in the commit, not in the image" for path in expected]
    return problems[:_MOST]


def _tar_files(store: Store, layer: Descriptor) -> Iterator[tuple[bytes, int, str]]:
    """Path, mode and the sha256 of the content (of a symlink: of where it points). Mode 0 for what no code layer of ours holds."""
    with tarfile.open(fileobj=as_file(store.open_blob(layer.digest)), mode="r|gz", encoding="utf-8", errors="surrogateescape") as archive:
        for member in archive:
            path = member.name.encode("utf-8", "surrogateescape")
            content = archive.extractfile(member) if member.isreg() else None
            chunks = iter(partial(content.read, _CHUNK), b"") if content else [member.linkname.encode("utf-8", "surrogateescape")]
            yield path, _mode(member), _hash(chunks)


def _mode(member: tarfile.TarInfo) -> int:
    if (member.uid, member.gid) != (0, 0):
        return 0
    if member.issym():
        return SYMLINK
    return {0o644: FILE, 0o755: EXECUTABLE}.get(member.mode, 0) if member.isreg() else 0


def _hash(chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _other_plan() -> str:
    return (
        "the files are those of the commit, but other layers hold them: "
        "the image was made with other [image] settings or by another version of this tool"
    )
