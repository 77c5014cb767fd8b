"""Checkpoints of sizes that are usual: very many files, and very large ones, in bounded time and memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.data.checkpoints import freeze, materialise
from builder.data.interface import Objects
from tests.fixtures.roots import LASTING_KINDS, made_root
from tests.fixtures.servers import S3Server

pytestmark = pytest.mark.minutes

# VmHWM and not ru_maxrss, which starts from what the process that forked us had.
MEASURED = """
import re, sys
from pathlib import Path
from builder.data.checkpoints import freeze, materialise
from builder.data.open import open_root
root = open_root(sys.argv[1], Path("/"), sys.argv[2])
frozen = freeze(root, Path(sys.argv[3]))
materialise(root, frozen.digest, Path(sys.argv[4]))
print(int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) // 1024)
"""


@pytest.fixture(params=LASTING_KINDS)
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Objects]:
    with made_root(request.param, request) as made:
        yield made
    for directory in tmp_path.iterdir():  # pytest would keep it
        shutil.rmtree(directory)


def test_ten_thousand_small_files(root: Objects, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(10_000):
        (tmp_path / f"many/{number}").write_bytes(b"%d" % number)
    began = time.monotonic()
    frozen = freeze(root, tmp_path / "many")
    materialise(root, frozen.digest, tmp_path / "copy")
    assert time.monotonic() - began < 150
    began = time.monotonic()
    assert freeze(root, tmp_path / "copy") == frozen
    assert time.monotonic() - began < 10


def test_large_files_take_little_memory(root: Objects, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    for number in range(4):
        with (tmp_path / f"large/{number}").open("wb") as file:
            for _ in range(20):
                file.write(os.urandom(16 << 20))
    server: S3Server | None = request.getfixturevalue("s3_server") if root.name.startswith("s3://") else None
    arguments = [root.name, server.endpoint if server else "", str(tmp_path / "large"), str(tmp_path / "copy")]
    said = subprocess.run([sys.executable, "-c", MEASURED, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert int(said) < 600  # MB, of 1280
