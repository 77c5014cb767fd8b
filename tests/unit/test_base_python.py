"""Finding a base's Python by its environment, or by the names in its layers; and layers that are hostile or broken."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import IntegrityError
from builder.image.base_python import PythonFound, find_python, python_in_env
from builder.model.oci import LAYER_GZIP, LAYER_TAR, Descriptor
from builder.stores.layout import LayoutStore
from tests.fixtures.images import put, tar

NOTHING = tar({"etc/os-release": b"x"})


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    return LayoutStore(tmp_path)


def look(store: LayoutStore, *layers: bytes, path: str = "") -> PythonFound:
    config = {"config": {"Env": [f"PATH={path}"]}} if path else {}
    return find_python(config, tuple(put(store, gzip.compress(layer)) for layer in layers), store, lambda _: None)


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("PYTHON_VERSION=3.11.9", "3.11"),
        ("PYVER=3.12", "3.12"),
        ("PYTHON_VERSION=3.13.0rc2", "3.13"),
        ("PYTHON_VERSION=2.7.18", ""),
        ("PYTHON_VERSION=3.x; rm -rf /", ""),
        ("PYTHON_VERSION", ""),
        ("MYPYVER=3.12", ""),
    ],
)
def test_the_environment_says_it(line: str, version: str) -> None:
    assert python_in_env({"config": {"Env": ["PATH=/bin", line]}}) == version


@pytest.mark.parametrize(
    "config", [{}, {"config": None}, {"config": {"Env": None}}, {"config": {"Env": [7]}}, {"config": {"Env": "PYVER=3.1"}}]
)
def test_an_environment_that_says_nothing(config: dict[str, object]) -> None:
    assert python_in_env(config) == ""


@pytest.mark.parametrize(
    "layer",
    [
        tar({"usr/bin/python3": "python3.11"}),
        tar({"./usr/bin/python3": "/usr/bin/python3.11"}),
        tar({"/usr/local/bin/python3": "python3.11"}),
        tar({"usr/bin/python3": "/etc/alternatives/python3", "etc/alternatives/python3": "/usr/bin/python3.11"}),
        tar({"usr/bin/python3.11": b"\x7fELF"}),
        tar({"opt/conda/bin/python3": "python3.11", "opt/conda/lib/python3.11/os.py": b""}),
        tar({"usr/lib/python3.11/os.py": b""}),
        tar({"usr/local/lib/python3.11/os.py": b""}),
        tar({"opt/venv/lib/python3.11/os.py": b""}),
    ],
)
def test_a_layer_says_it(store: LayoutStore, layer: bytes) -> None:
    assert look(store, NOTHING, layer, NOTHING).version == "3.11"


@pytest.mark.parametrize(
    "layer",
    [
        NOTHING,
        tar({"usr/bin/python3": "python3"}),
        tar({"usr/bin/python3": b"#!/bin/sh"}),
        tar({"usr/bin/python3.11-config": b""}),
        tar({"usr/bin/.wh.python3.11": b""}),
        tar({"usr/lib/python3.11/dist-packages/x.py": b""}),
        tar({"home/me/backup/usr/lib/python3.11/os.py": b""}),
        tar({"../usr/bin/python3": "python3.11"}),
        tar({"opt/../lib/python3.11/os.py": b""}),
        tar({"usr/lib/../bin/python3": "python3.11", "/../../usr/lib/python3.11/os.py": b""}),
    ],
)
def test_a_layer_that_does_not(store: LayoutStore, layer: bytes) -> None:
    assert look(store, layer) == PythonFound("")


def test_the_upper_layer_wins(store: LayoutStore) -> None:
    lower, upper = tar({"usr/bin/python3": "python3.8"}), tar({"usr/bin/python3": "python3.12"})
    assert look(store, lower, upper).version == "3.12"


def test_path_decides_within_a_layer(store: LayoutStore) -> None:
    both = tar({"usr/bin/python3": "python3.8", "opt/conda/bin/python3": "python3.12"})
    assert look(store, both, path="/opt/conda/bin:/usr/bin").version == "3.12"
    assert look(store, both, path="/usr/bin:/opt/conda/bin").version == "3.8"


def test_a_link_says_more_than_a_program(store: LayoutStore) -> None:
    assert look(store, tar({"usr/bin/python3.8": b"", "usr/bin/python3": "python3.12", "usr/bin/python3.9": b""})).version == "3.12"


def test_lower_layers_are_not_read(store: LayoutStore) -> None:
    upper = put(store, gzip.compress(tar({"usr/bin/python3": "python3.12"})))
    absent = Descriptor(LAYER_GZIP, "sha256:" + "0" * 64, 9)
    assert find_python({}, (absent, upper), store, lambda _: None).version == "3.12"


def test_it_stops_when_nothing_can_be_better(tmp_path: Path) -> None:
    read: list[int] = []

    class Watched(LayoutStore):
        def open_blob(self, digest: str) -> Iterator[bytes]:
            for chunk in super().open_blob(digest):
                read.append(len(chunk))
                yield chunk

    store = Watched(tmp_path)
    layer = put(store, tar({"usr/local/sbin/python3": "python3.12", "big": bytes(20_000_000)}), LAYER_TAR)
    assert find_python({}, (layer,), store, lambda _: None).version == "3.12"
    assert sum(read) < 3_000_000


def test_a_layer_that_is_not_compressed(store: LayoutStore) -> None:
    layer = put(store, tar({"usr/bin/python3": "python3.12"}), LAYER_TAR)
    assert find_python({}, (layer,), store, lambda _: None).version == "3.12"


def test_a_zstd_layer_is_skipped_and_named(store: LayoutStore) -> None:
    lower = put(store, gzip.compress(tar({"usr/bin/python3": "python3.12"})))
    upper = Descriptor("application/vnd.oci.image.layer.v1.tar+zstd", "sha256:" + "0" * 64, 9)
    found = find_python({}, (lower, upper), store, lambda _: None)
    assert found.version == "3.12"
    assert upper.digest in found.skipped[0]


@pytest.mark.parametrize(
    "damage",
    [b"", b"not gzip at all", gzip.compress(tar({"x": bytes(range(256)) * 99}))[:-30], gzip.compress(b"not a tar" * 500)],
    ids=["empty", "no gzip", "cut short", "no tar"],
)
def test_a_damaged_layer_is_named(store: LayoutStore, damage: bytes) -> None:
    layer = put(store, damage)
    with pytest.raises(IntegrityError, match=layer.digest):
        find_python({}, (layer,), store, lambda _: None)
