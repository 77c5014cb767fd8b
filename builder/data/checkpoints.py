"""Frozen checkpoints: named by what is in them, written once, verified whenever they are handed out.

Every file is `blobs/sha256/<2 hex>/<64 hex>`; then, last, a manifest of them all is `checkpoints/<64 hex>.json`, and the sha256 of that
manifest is the checkpoint's digest. So what two checkpoints share is kept once, and whoever sees the manifest finds every blob.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.data.checkpoint_files import leads_inside, manifest_of
from builder.data.checkpoint_manifest import Item, Manifest
from builder.data.interface import Objects
from builder.data.threads import in_threads
from builder.data.turns import announced, mark_made
from builder.errors import DataError, IntegrityError
from builder.model.oci import is_digest, sha256

FOLDER = "checkpoints"
_MANY = 1000  # files, of which it is quicker to list the 256 folders of blobs


@dataclass(frozen=True, slots=True)
class Frozen:
    """A checkpoint in the data root: its digest (`sha256:<64 hex>`), how many files it has, and their bytes."""

    digest: str
    files: int
    size: int


def checkpoint_key(digest: str) -> str:
    """Where the manifest of a checkpoint lies. Raises DataError on what is no digest."""
    if not is_digest(digest):
        raise DataError(f"{digest!r} is no checkpoint's digest", "sha256: and 64 hexadecimal digits")
    return f"{FOLDER}/{digest.removeprefix('sha256:')}.json"


def blob_key(sha256: str) -> str:
    """Where the file with this sha256 (64 hex) lies."""
    return f"blobs/sha256/{sha256[:2]}/{sha256}"


def freeze(objects: Objects, directory: Path) -> Frozen:
    """Keeps what is in the directory. What is there already is not written again; what is missing, for whatever reason, is.

    Raises DataError on what cannot be frozen (see `checkpoint_files`), or when there is nothing; IntegrityError when a file changes
    meanwhile.
    """
    manifest = manifest_of(directory)
    if not manifest.items:
        raise DataError(f"there is nothing in {directory} to freeze", "the command must leave its checkpoint there")
    data = manifest.to_bytes()
    digest = sha256(data)
    with announced(objects, (digest.encode(), data)):
        _keep(objects, directory, manifest, data, checkpoint_key(digest))
    return Frozen(digest, len(manifest.files), manifest.size)


def _keep(objects: Objects, directory: Path, manifest: Manifest, data: bytes, key: str) -> None:
    known = objects.get(key) == data
    blobs = _blobs(manifest)
    whole = _whole(objects, blobs) if known else set()  # of a checkpoint that is known every file should be there: look first
    missing = [item for item in blobs if item.sha256 not in whole]
    in_threads(lambda item: objects.put_file(blob_key(item.sha256), directory / item.path, item.sha256, new=not known), missing)
    if known:
        mark_made(objects, key.rpartition("/")[2].removesuffix(".json"))
    elif not objects.put(key, data, new=True) and objects.get(key) != data:
        objects.put(key, data)  # what was there was damaged


def put_blob(objects: Objects, data: bytes) -> str:
    """Keeps what a job reads or left, by its content; returns its sha256 (64 hex)."""
    digest = sha256(data).removeprefix("sha256:")
    with announced(objects, (digest.encode(),)):
        if not objects.put(blob_key(digest), data, new=True):
            mark_made(objects, digest)
    return digest


def read_checkpoint(objects: Objects, digest: str) -> Manifest:
    """What a checkpoint consists of. Raises DataError when there is no such one, IntegrityError when its manifest is damaged."""
    key = checkpoint_key(digest)
    data = objects.get(key)
    if data is None:
        raise DataError(f"there is no checkpoint {digest} in {objects.name}", "was it frozen into another [data] root?")
    if sha256(data) != digest:
        raise IntegrityError(f"{objects.url(key)} does not hash to its name", "it is damaged: delete it, and freeze the checkpoint again")
    return Manifest.from_bytes(data, objects.url(key))


def check(objects: Objects, digest: str) -> Frozen:
    """Whether every file of a checkpoint is there with its size; their bytes are verified when they are handed out.

    Raises DataError, IntegrityError naming the file that is missing.
    """
    manifest = read_checkpoint(objects, digest)
    blobs = _blobs(manifest)
    whole = _whole(objects, blobs)
    for item in blobs:
        if item.sha256 not in whole:
            where = objects.url(blob_key(item.sha256))
            raise IntegrityError(f"{item.path} of checkpoint {digest} is missing: there is no whole {where}", "freeze the checkpoint again")
    return Frozen(digest, len(manifest.files), manifest.size)


def materialise(objects: Objects, digest: str, target: Path) -> None:
    """Writes the checkpoint to the directory `target`: verified, whole or not at all. One that is there already is only verified.

    They are copies, also of a data root on the same disk: a link would let whoever gets them change the checkpoint. Raises
    IntegrityError naming the file that is missing or damaged, DataError when `target` holds something else.
    """
    manifest = read_checkpoint(objects, digest)
    try:
        if not _occupied(target):
            _place(objects, digest, manifest, target)
        else:
            _check_same(target, digest, manifest)
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}") from error


def _blobs(manifest: Manifest) -> list[Item]:
    """A file for each content."""
    return list({item.sha256: item for item in manifest.files}.values())


def _whole(objects: Objects, blobs: Sequence[Item]) -> set[str]:
    """The sha256 of those that are there with their size.

    A few are asked for one by one; where they are many, S3 answers a thousand names at once, and botocore takes a millisecond a request.
    """
    keys = [blob_key(item.sha256) for item in blobs]
    if len(keys) < _MANY:
        found = in_threads(objects.find, keys)
    else:
        listed = in_threads(lambda prefix: list(objects.list(prefix)), sorted({key.rpartition("/")[0] + "/" for key in keys}))
        found = list(itertools.chain.from_iterable(listed))
    sizes = {each.key: each.size for each in found if each is not None}
    return {item.sha256 for item, key in zip(blobs, keys, strict=True) if sizes.get(key) == item.size}


def _place(objects: Objects, digest: str, manifest: Manifest, target: Path) -> None:
    aside = target.parent / f".{target.name[:100]}.{os.urandom(8).hex()}"
    aside.mkdir(parents=True)
    try:
        _write_out(objects, digest, manifest, aside)
        aside.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        _check_same(target, digest, manifest)  # someone else was quicker
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_out(objects: Objects, digest: str, manifest: Manifest, directory: Path) -> None:
    for folder in {(directory / item.path).parent for item in manifest.items}:
        folder.mkdir(parents=True, exist_ok=True)
    in_threads(lambda item: _fetch(objects, digest, item, directory), manifest.files)
    for item in manifest.links:  # when nothing more is written through them
        (directory / item.path).symlink_to(item.link)
    top = Path(os.path.realpath(directory))
    for item in manifest.links:
        if not leads_inside(top, item.path):
            raise IntegrityError(f"{item.path} of checkpoint {digest} leads out of it, to {item.link!r}")


def _fetch(objects: Objects, digest: str, item: Item, directory: Path) -> None:
    key, path = blob_key(item.sha256), directory / item.path
    try:
        there = objects.fetch_file(key, path, item.sha256)
    except IntegrityError as error:
        raise IntegrityError(
            f"{item.path} of checkpoint {digest} is damaged: {error.message}", f"delete {objects.url(key)} and freeze the checkpoint again"
        ) from error
    if not there:
        raise IntegrityError(
            f"{item.path} of checkpoint {digest} is missing: there is no {objects.url(key)}", "freeze the checkpoint again"
        )
    if item.executable:
        mode = path.stat().st_mode
        path.chmod(mode | (mode & 0o444) >> 2)  # for those who may read it


def _occupied(target: Path) -> bool:
    """An empty directory is as good as none."""
    return os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir()))


def _check_same(target: Path, digest: str, manifest: Manifest) -> None:
    there = {item.path: item for item in manifest_of(target).items} if target.is_dir() else {}
    wanted = {item.path: item for item in manifest.items}
    for path in sorted({*there, *wanted}):
        if there.get(path) != wanted.get(path):
            text = f"{target} is there, and it is not checkpoint {digest}: {path} differs"
            raise DataError(text, "take it away, or name another place")
