"""Layers: the same files give the same bytes, which any reader unpacks."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.image.layers import BuiltLayer, LayerFile, write_layer
from builder.model.oci import LAYER_GZIP, sha256
from builder.model.tree import EXECUTABLE, FILE, SYMLINK
from tests.fixtures.images import layer_content

GOLDEN = "sha256:dcb3bd1e65ddf30f3a7780b47e8a22e359a5f35258a7260ac3d03efc49083bfd"
GOLDEN_DIFF_ID = "sha256:8f650ab3150e4a9e2ff1ba1120e8fcd09ddf8ea40873776058bd4ed536091d2b"
"""Of the layer below. When a change makes another one, every layer in every registry is made and sent anew: change CODEC in
builder/image/layers.py with it (it is part of every key), then write the new digests here."""


def file(path: bytes, content: bytes, mode: int = FILE, cut: int = 1 << 20) -> LayerFile:
    def read() -> Iterator[bytes]:
        return (content[start : start + cut] for start in range(0, len(content), cut))

    return LayerFile(path, mode, 0 if mode == SYMLINK else len(content), read)


def golden() -> BuiltLayer:
    lines = b"".join(b"line %d of a file of some size\n" % number for number in range(100_000))
    noise = b"".join(bytes.fromhex(sha256(b"%d" % number)[7:]) for number in range(50_000))
    return write_layer(
        [
            file(b"code/.hidden", b""),
            file(b"code/a/lines.txt", lines),
            file(b"code/a/run.sh", b"#!/bin/sh\necho hello\n", EXECUTABLE),
            file("code/é/".encode() + b"n" * 120, b"long name"),
            file(b"code/link", b"a/lines.txt", SYMLINK),
            file(b"code/noise.bin", noise),
        ]
    )


def test_golden() -> None:
    made = golden()
    assert (made.descriptor.digest, made.diff_id) == (GOLDEN, GOLDEN_DIFF_ID)


def test_digests_and_sizes_are_those_of_the_bytes() -> None:
    made = golden()
    with made.open() as stream:
        data = stream.read()
    assert (made.descriptor.media_type, made.descriptor.digest, made.descriptor.size) == (LAYER_GZIP, sha256(data), len(data))
    plain = gzip.decompress(data)
    assert (made.diff_id, made.tar_size) == (sha256(plain), len(plain))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 3_000_000), min_size=1, max_size=3), st.integers(1, 1 << 21))
def test_how_the_content_comes_does_not_show(sizes: list[int], cut: int) -> None:
    contents = [(bytes(range(256)) * (size // 256 + 1))[:size] for size in sizes]
    whole = write_layer(file(b"%d" % index, content) for index, content in enumerate(contents))
    pieces = write_layer(
        file(b"%d" % index, content, cut=max(cut, size // 50)) for (index, content), size in zip(enumerate(contents), sizes, strict=True)
    )
    assert pieces.descriptor == whole.descriptor


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1024, (1 << 20) - 512, 1 << 20, (1 << 20) + 1])
def test_contents_of_any_size_come_back(size: int) -> None:
    content = os.urandom(size)
    with write_layer([file(b"a", content), file(b"b", b"after")]).open() as stream:
        assert layer_content(stream.read()) == {b"a": (FILE, content), b"b": (FILE, b"after")}


def test_no_files_are_an_empty_archive() -> None:
    with write_layer([]).open() as stream:
        assert layer_content(stream.read()) == {}


def test_a_large_layer_lies_on_disk_and_is_read_by_several_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    content = os.urandom(9 << 20)
    made = write_layer([file(b"a", content)])
    assert list(tmp_path.iterdir()) == []  # it has no name: a kill leaves nothing
    with made.open() as first, made.open() as second:
        head = first.read(1000)
        whole = second.read()
        assert head + first.read() == whole
        first.seek(0)
        assert first.read(1000) == head
    assert layer_content(whole) == {b"a": (FILE, content)}


def test_the_last_reader_closes_the_file() -> None:
    made = write_layer([file(b"a", os.urandom(9 << 20))])
    stream = made.open()
    before = len(list(Path("/proc/self/fd").iterdir()))
    del made
    assert len(stream.read()) > 9 << 20
    stream.close()
    del stream
    assert len(list(Path("/proc/self/fd").iterdir())) == before - 1


def test_a_pipe_full_of_zeros_takes_little_memory() -> None:
    """In a process of its own: memory that a test before used would count."""
    script = """
import re
from builder.image.layers import LayerFile, write_layer
from builder.model.tree import FILE
size = 100 << 20
write_layer([LayerFile(b"zeros", FILE, size, lambda: (bytes(1 << 20) for _ in range(size >> 20)))])
print(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert int(done.stdout) < 60_000  # KiB


def test_annotations_are_added() -> None:
    made = write_layer([]).annotated({"a": "1"}).annotated({"b": "2"})
    assert made.descriptor.annotations == {"a": "1", "b": "2"}


def test_reading_starts_anew_each_time() -> None:
    made = write_layer([file(b"a", b"1")])
    assert made.open().read() == made.open().read() != b""
    assert isinstance(made.open(), io.BytesIO)
