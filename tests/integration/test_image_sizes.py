"""Large files and large trees: in bounded memory and time. The builder is a process of its own, measured from inside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from builder.model.oci import Manifest
from builder.source.repository import Git
from builder.stores.registry import RegistryStore
from tests.fixtures.images import flatten
from tests.fixtures.registry_server import RegistryServer
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home, numbered  # noqa: F401

pytestmark = pytest.mark.minutes

# VmHWM and not ru_maxrss, which starts from what the process that forked us had.
MEASURED = """
import json, re, resource, sys
from builder.cli import frame
code = frame.run(["image", "--base", "scratch", "--commit", "main", *sys.argv[1:]])
peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({"code": code, "peak": peak / 1024, "children": children / 1024}))
"""


def measured(repository: Repository, to: str) -> dict[str, Any]:
    """Peak memory in MiB of `builder image` and of the largest of its children; its reference and seconds."""
    words, began = [sys.executable, "-c", MEASURED, "--to", to], time.monotonic()
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(words, cwd=repository.directory, env=os.environ | path, capture_output=True, check=True)
    reference, facts = done.stdout.decode().splitlines()
    found: dict[str, Any] = json.loads(facts)
    assert found["code"] == 0
    return {**found, "digest": reference.rpartition("@")[2], "seconds": time.monotonic() - began}


def test_a_file_of_1_gb_is_streamed(repository: Repository) -> None:
    size, noise = 1 << 30, os.urandom(64 << 20)
    with (repository.directory / "model.bin").open("wb") as file:
        file.write(noise)
        file.truncate(size)
    repository.git("-c", "core.compression=1", "add", "model.bin")
    repository.git("commit", "--quiet", "-m", "A large file")
    (repository.directory / "model.bin").unlink()
    with RegistryServer() as server:
        facts = measured(repository, str(server.repository()))
        assert facts["peak"] <= 200, facts
        assert facts["children"] <= 200, facts
        stored = RegistryStore(server.repository()).get_manifest(facts["digest"])
        assert stored is not None
        (layer,) = Manifest.from_bytes(stored.data).layers
        assert layer.size > len(noise)
    with Git.open(repository.directory) as git:
        (entry,) = git.entries(git.resolve("main"))
        assert git.sizes([entry]) == {entry.oid: size}


def test_a_tree_of_100_000_files(repository: Repository, tmp_path: Path) -> None:
    repository.history(numbered(100_000, "package/module", 60), {"package/module3/3.py": b"changed"})
    with RegistryServer() as server:
        to = str(server.repository())
        first = measured(repository, to)
        store = RegistryStore(server.repository())
        assert flatten(store, first["digest"]) == repository.files("main")
        repository.commit({"package/module4/4.py": b"changed"})
        server.requests.clear()
        second = measured(repository, to)
        assert len(server.requests) <= 10
    assert first["seconds"] < 90, first
    assert second["seconds"] < 30, second
    assert max(first["peak"], second["peak"]) <= 200, (first, second)
