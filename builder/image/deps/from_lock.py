"""Layers from a lock file: install, sort into layers, write them. No Docker, and the same bytes on every machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from builder.image.deps import packages
from builder.image.deps.install import install
from builder.image.deps.lock import Requirement
from builder.image.deps.packages import Package
from builder.image.deps.split import Group, split
from builder.image.layers import BuiltLayer, LayerFile, write_layer
from builder.model.annotations import TITLE

ROOT = "opt/deps"
"""Where packages of a lock are in the image; in front of PYTHONPATH, and its `bin` in front of PATH."""
SEARCH_PATH = {"PATH": f"/{ROOT}/bin", "PYTHONPATH": f"/{ROOT}"}


def build_layers(requirements: Sequence[Requirement], python: str, platform: str) -> Iterator[BuiltLayer]:
    """At most 16 layers, from the bottom up, each written when it is asked for. Needs the network, or uv's cache.

    Raises DepsError where a package cannot be installed.
    """
    with tempfile.TemporaryDirectory(prefix="builder-deps-") as scratch:
        found = {package.name: package for package in installed(requirements, python, platform, Path(scratch))}
        groups = split({name: package.size for name, package in found.items()})
        for group in groups:
            yield _layer(group, [found[name] for name in group.names])


def installed(requirements: Sequence[Requirement], python: str, platform: str, scratch: Path) -> tuple[Package, ...]:
    """The packages, readable for as long as the directory `scratch` is there."""

    def alone(name: str) -> Path:
        directory = scratch / f"alone-{name}"
        directory.mkdir()
        return install([r for r in requirements if r.name == name], python, platform, directory)

    return packages.read(install(requirements, python, platform, scratch), python, alone)


def placed(files: Sequence[LayerFile], root: str) -> Iterator[LayerFile]:
    """The files below a directory of the image, in the order of a layer."""
    prefix = root.encode() + b"/"
    for file in sorted(files, key=lambda file: file.path):
        yield replace(file, path=prefix + file.path)


def _layer(group: Group, members: Sequence[Package]) -> BuiltLayer:
    files = [file for package in members for file in package.files]
    return write_layer(placed(files, ROOT)).annotated({TITLE: f"deps: {group.title}"})
