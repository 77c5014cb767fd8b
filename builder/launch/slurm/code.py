"""A commit's tree on its way to the cluster, as layers: parts of it that are named by what is in them, and sent once each.

The tree is read as it lies on disk, where the step runs: a pod has neither git nor a registry, and what `slim-repo` took out or a changed
tree has is in no image. A layer holds the files of directories whose names hash alike, so that a change of one file makes one layer new;
what is large is a layer by itself. On the cluster `code/layers/<digest>` are made once and never written to again, and
`code/<digest>` is a tree made of them by hard links. docs/adr/0017-code-by-content.md
"""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from builder.data.threads import in_threads
from builder.errors import LaunchError
from builder.launch.slurm.bastion import Bastion
from builder.launch.slurm.folders import SHARED
from builder.launch.slurm.staging import add_bytes, checked, owned_by_nobody

CODE = "code"
"""The folder of commits' trees."""

_LARGE = 1 << 20  # bytes
_GROUPS = 256  # of directories: so many layers at most, and that part of the tree is sent again when one file changes
_AT_ONCE = 4
_CHUNK = 1 << 20

# Whatever the other side lacks of the layers named on stdin; nothing more of a tree that is there. What is there is marked as used, as far
# as it is ours to mark: what somebody else brought serves all the same.
_ASK = """{shared}
shared {code} && shared {code}/layers
cd {code}/layers && cd .. || exit
[ ! -d {tree} ] || {{ touch {tree} 2>/dev/null; echo there; exit; }}
used=
while read -r layer; do if [ -d "layers/$layer" ]; then used="$used layers/$layer"; else echo "$layer"; fi; done
[ -z "$used" ] || touch $used 2>/dev/null || true"""

# Written aside and renamed: of two who bring the same one wins, whole; also of two tries of one, whose connection dropped in between.
# A file system may have no hard links, or no more of them for a file.
_MAKE = """umask 022; cd {code} && rm -rf {aside}.* && aside={aside}.$$ && mkdir $aside && tar -xz -C $aside || exit
for layer in $aside/layers/*; do
  [ ! -d "$layer" ] || mv -T "$layer" "layers/${{layer##*/}}" 2>/dev/null || rm -rf "$layer"
done
mkdir $aside/tree && {{ xargs -r -0 cp -al -t $aside/tree <$aside/names 2>/dev/null ||
  {{ rm -rf $aside/tree && mkdir $aside/tree && xargs -r -0 cp -a --reflink=auto -t $aside/tree <$aside/names; }}; }} &&
  touch $aside/tree && {{ mv -T $aside/tree {tree} 2>/dev/null || [ -d {tree} ]; }}
code=$?
rm -rf $aside
exit $code"""


@dataclass(frozen=True, slots=True)
class Layer:
    """`digest` (64 hex) is that of names, modes and contents of `paths`, which are relative to the tree."""

    digest: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A commit's files as they lie in `place`; `name` is the digest of what is in them."""

    name: str
    place: Path
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Brought:
    """The tree's name in its folder, how many of its layers were sent, and in how many bytes."""

    name: str
    layers: int = 0
    size: int = 0


def tree_of(place: Path) -> Tree:
    """Raises LaunchError when it cannot be read."""
    layers = layers_of(place)
    return Tree(_digest(layer.digest.encode() for layer in layers), place, layers)


def bring_code(bastion: Bastion, tree: Tree, folder: str = CODE) -> Brought:
    """Makes the cluster have the tree, in that folder of its root. Raises LaunchError."""
    name, layers = tree.name, tree.layers
    code = f"{bastion.settings.root}/{folder}"
    places = {"code": shlex.quote(code), "tree": name}
    asked = bastion.ask(_ASK.format(**places, shared=SHARED), "".join(f"{layer.digest}\n" for layer in layers).encode() or b"\n")
    checked(bastion, asked, code)
    lacking = asked.text.split()
    if lacking == ["there"]:
        return Brought(name)
    wanted = [layer for layer in layers if layer.digest in lacking]
    with _packed(tree.place, layers, wanted) as packed:
        made = bastion.ask(_MAKE.format(**places, aside=f".new-{os.urandom(6).hex()}"), packed)
        checked(bastion, made, f"{code}/{name}")
        return Brought(name, len(wanted), packed.seek(0, os.SEEK_END))


def layers_of(tree: Path) -> tuple[Layer, ...]:
    """Sorted by digest. A pure function of the tree's files and links; empty directories do not count. Raises LaunchError."""
    try:
        sizes = dict(_files(tree))
        paths = sorted(sizes, key=os.fsencode)
        marks = dict(zip(paths, in_threads(lambda path: _mark(tree / path), paths, _AT_ONCE), strict=True))
    except OSError as error:
        raise LaunchError(f"{error.filename or tree} cannot be read: {error.strerror}") from error
    groups = defaultdict(list)
    for path in paths:
        groups[_group(path, sizes[path])].append(path)
    found = [Layer(_digest(marks[path] + os.fsencode(path) for path in group), tuple(group)) for group in groups.values()]
    return tuple(sorted(found, key=lambda layer: layer.digest))


def _files(tree: Path, folder: str = "") -> Iterator[tuple[str, int]]:
    """Path and size of every file and link."""
    with os.scandir(tree / folder) as found:
        entries = list(found)
    for entry in entries:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _files(tree, path)
        elif entry.is_symlink() or entry.is_file():
            yield path, entry.stat(follow_symlinks=False).st_size


def _group(path: str, size: int) -> str:
    """The same for files that travel together."""
    return path if size >= _LARGE else hashlib.sha256(os.fsencode(path.rpartition("/")[0])).hexdigest()[:2]


def _mark(file: Path) -> bytes:
    """What a file is beside its name: mode and the hash of its bytes, or where a link points."""
    mode = file.lstat().st_mode
    if stat.S_ISLNK(mode):
        return b"link " + hashlib.sha256(os.fsencode(file.readlink())).hexdigest().encode() + b" "
    seen = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            seen.update(chunk)
    return (b"program " if mode & stat.S_IXUSR else b"file ") + seen.hexdigest().encode() + b" "


def _digest(parts: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(part + b"\0" for part in parts)).hexdigest()


def _packed(tree: Path, layers: Sequence[Layer], wanted: Sequence[Layer]) -> BinaryIO:
    """`layers/<digest>/<path>` of those that are wanted, and `names` of all. On disk: it may be large."""
    packed = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's to close
    names = b"".join(f"layers/{layer.digest}/.".encode() + b"\0" for layer in layers)
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1, format=tarfile.PAX_FORMAT) as archive:
        add_bytes(archive, "names", names)
        for layer in wanted:
            for path in layer.paths:
                archive.add(tree / path, f"layers/{layer.digest}/{path}", recursive=False, filter=_plain)
    packed.flush()
    return packed


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Of the mode only what the layer's digest says."""
    entry.mode = 0o755 if entry.mode & stat.S_IXUSR else 0o644
    return owned_by_nobody(entry)
