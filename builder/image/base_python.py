"""Which Python a base has: its environment says so, or the layer that holds it does.

Only names and link targets of a layer are read; nothing is unpacked.
"""

from __future__ import annotations

import contextlib
import gzip
import posixpath
import re
import tarfile
import zlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from builder.errors import IntegrityError
from builder.model.oci import Descriptor
from builder.stores.chunks import as_file
from builder.stores.interface import Store

_VARIABLES = ("PYTHON_VERSION", "PYVER")  # the official Python images, and NVIDIA's
_VERSION = re.compile(r"(3\.\d+)(?:\.\d+)?(?:[a-z]+\d+)?\Z")
_PROGRAM = re.compile(r"python(3\.\d+)\Z")
_LIBRARY = re.compile(r"(?:usr|usr/local|opt/[^/]+)/lib/python(3\.\d+)/os\.py\Z")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What container engines use where an image sets no PATH."""
_LINK, _EXECUTABLE, _STANDARD_LIBRARY = range(3)

Evidence = tuple[int, int, str, str]
"""How good it is (kind, then place in PATH: less is better), the version, the name that says so."""


@dataclass(frozen=True, slots=True)
class PythonFound:
    """`version` is `3.11`, or empty; `where` says what tells so; `skipped` names layers that could not be looked into."""

    version: str
    where: str = ""
    skipped: tuple[str, ...] = ()


def python_in_env(config: Mapping[str, Any]) -> str:
    """`3.11` when the image's environment says so, else empty."""
    environment = dict(line.partition("=")[::2] for line in _environment(config))
    matches = (_VERSION.match(environment.get(name, "")) for name in _VARIABLES)
    return next((match[1] for match in matches if match), "")


def find_python(config: Mapping[str, Any], layers: tuple[Descriptor, ...], store: Store, advance: Callable[[int], object]) -> PythonFound:
    """Asks the environment, then the layers from the top down, and stops at the first that has a Python.

    `advance` is told how many bytes were read. Raises IntegrityError on a damaged layer.
    """
    said = python_in_env(config)
    if said:
        return PythonFound(said, "the base's environment")
    skipped: tuple[str, ...] = ()
    for layer in reversed(layers):
        if "zstd" in layer.media_type or "encrypted" in layer.media_type:
            skipped = (*skipped, f"{layer.digest} ({layer.media_type})")
            continue
        best = _look(layer, store, _search_path(config), advance)
        if best is not None:
            return PythonFound(best[2], f"/{best[3]} in layer {layer.digest[:19]}", skipped)
    return PythonFound("", "", skipped)


def _look(layer: Descriptor, store: Store, path: tuple[str, ...], advance: Callable[[int], object]) -> Evidence | None:
    best: Evidence | None = None
    try:
        with contextlib.closing(_members(layer, store, advance)) as members:
            for member in members:
                found = _evidence(member, path)
                best = min(filter(None, (best, found)), default=None)
                if best is not None and best[:2] == (_LINK, 0):
                    break  # nothing can be better
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        raise IntegrityError(f"{store.name}: layer {layer.digest} is damaged: {error}", "fetch or push the base again") from error
    return best


def _members(layer: Descriptor, store: Store, advance: Callable[[int], object]) -> Generator[tarfile.TarInfo, None, None]:
    with as_file(store.open_blob(layer.digest), advance) as raw:
        plain = raw if layer.media_type.endswith(".tar") else cast(BinaryIO, gzip.GzipFile(fileobj=raw))
        with tarfile.open(fileobj=plain, mode="r|", errors="surrogateescape") as archive:
            yield from archive


def _evidence(member: tarfile.TarInfo, path: tuple[str, ...]) -> Evidence | None:
    name = _normal(member.name)
    directory, base = posixpath.split(name)
    if directory in path:
        place = path.index(directory)
        if base in ("python3", "python") and member.issym():
            target = _PROGRAM.match(posixpath.basename(member.linkname))
            return (_LINK, place, target[1], name) if target else None
        program = _PROGRAM.match(base)
        return (_EXECUTABLE, place, program[1], name) if program else None
    library = _LIBRARY.match(name)
    return (_STANDARD_LIBRARY, 0, library[1], name) if library and member.isfile() else None


def _normal(name: str) -> str:
    """As from the root, without `./`; empty for a name that leads elsewhere."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "" if ".." in parts else "/".join(parts)


def _search_path(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The directories of PATH without the first slash, then where Debian keeps the links that PATH's links lead to."""
    said = [line.removeprefix("PATH=") for line in _environment(config) if line.startswith("PATH=")]
    directories = [*(said[-1] if said else DEFAULT_PATH).split(":"), "/opt/conda/bin", "/etc/alternatives"]
    return tuple(dict.fromkeys(directory.strip("/") for directory in directories if directory))


def _environment(config: Mapping[str, Any]) -> tuple[str, ...]:
    inner = config.get("config")
    lines = inner.get("Env") if isinstance(inner, dict) else None
    return tuple(line for line in lines or () if isinstance(line, str)) if isinstance(lines, list) else ()
