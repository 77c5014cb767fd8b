"""Killed, in a crowd, on a full disk, on top of a registry that lost something: the same digest, never half an image."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builder.cli import frame
from builder.errors import BlobUnknownError, StoreError
from builder.image import layers
from builder.model.oci import Manifest
from builder.stores.layout import LayoutStore
from builder.stores.registry import RegistryStore
from tests.fixtures.images import ON_NOTHING, build, flatten
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.registry_server import RegistryServer, Run, Status
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home, numbered  # noqa: F401

ROOT = Path(__file__).parents[2]
REQUESTS = 10  # of a build on top of its parent's image: test_the_sweep_covers_every_request keeps it true


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as made:
        yield made


@pytest.fixture
def parent_and_child(repository: Repository, server: RegistryServer) -> Repository:
    """The parent's image is in the registry; the child is checked out."""
    repository.history({**numbered(40), "builder.toml": b'[image]\nbase = "scratch"\n'}, {"src/file1/1.py": os.urandom(3000)})
    repository.check_out()
    build(repository.directory, RegistryStore(server.repository()), "main~1")
    server.requests.clear()
    return repository


def start(repository: Repository, to: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "builder", "image", "--to", to, "-o", "name"]
    path = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(words, cwd=repository.directory, env=path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def assert_never_half(server: RegistryServer) -> None:
    """Every tag that was ever set names a manifest that is there, and so is everything that it names."""
    repo = server.state.repo("team/app")
    assert {digest for _, digest in repo.tagged} <= set(repo.manifests)
    for _, data in repo.manifests.values():
        manifest = Manifest.from_bytes(data)
        assert {blob.digest for blob in (manifest.config, *manifest.layers)} <= repo.blobs


def test_the_sweep_covers_every_request(parent_and_child: Repository, server: RegistryServer) -> None:
    process = start(parent_and_child, str(server.repository()))
    assert process.communicate()[1] is not None
    assert len(server.requests) == REQUESTS


@pytest.mark.parametrize("index", range(REQUESTS))
def test_killed_at_each_request_and_run_again(
    parent_and_child: Repository, server: RegistryServer, index: int, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = build(parent_and_child.directory, MemoryStore()).digest
    started, child = threading.Event(), []

    def kill(_: object) -> None:
        assert started.wait(10)
        child[0].send_signal(signal.SIGKILL)

    server.fault(index, Run(kill))
    child.append(start(parent_and_child, str(server.repository())))
    started.set()
    child[0].communicate()
    assert child[0].returncode == -signal.SIGKILL
    assert_never_half(server)
    assert frame.run(["image", "--repo", str(parent_and_child.directory), "--to", str(server.repository())]) == 0
    assert capsys.readouterr().out.strip() == f"{server.repository()}@{expected}"
    assert_never_half(server)
    sha = parent_and_child.text("rev-parse", "HEAD")
    tags = {tag: digest for tag, digest in server.state.repo("team/app").tags.items() if tag.startswith(sha)}
    assert (len(tags), set(tags.values())) == (2, {expected})


CROWD = """
import os, sys
from builder.cli import frame
from builder.cli.making import making
from builder.image import ancestors, build, prepare
import urllib3
count, to, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
children = []
for number in range(count):
    pid = os.fork()
    if pid == 0:
        file = os.open(f"{out}/{number}", os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 1)
        os.dup2(file, 2)
        code = frame.run(["image", "--to", to])
        sys.stdout.flush()
        os._exit(code)
    children.append(pid)
print(sorted({os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children}))
"""


@pytest.mark.parametrize("kind", ["registry", "layout"])
def test_thirty_two_at_once_make_one_image(repository: Repository, server: RegistryServer, tmp_path: Path, kind: str) -> None:
    repository.commit({**numbered(40), "builder.toml": b'[image]\nbase = "scratch"\n'})
    repository.check_out()
    to = str(server.repository()) if kind == "registry" else f"oci:{tmp_path}/images"
    (tmp_path / "out").mkdir()
    words = [sys.executable, "-c", CROWD, "32", to, str(tmp_path / "out")]
    done = subprocess.run(words, cwd=repository.directory, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=True)
    said = {file.read_text().splitlines()[0] for file in (tmp_path / "out").iterdir()}
    assert done.stdout.strip() == b"[0]", said
    expected = build(repository.directory, MemoryStore()).digest
    assert said == {f"{to}@{expected}"}
    store = RegistryStore(server.repository()) if kind == "registry" else LayoutStore(tmp_path / "images")
    assert len(store.list_tags()) == 2
    assert flatten(store, expected) == repository.files("HEAD")
    if kind == "registry":
        assert_never_half(server)


# --- a registry that lost something ---------------------------------------------------------------------------------------------------


def lose(server: RegistryServer, digest: str) -> None:
    server.state.repo("team/app").blobs.discard(digest)
    del server.state.blobs[digest]


def test_a_lost_layer_of_the_ancestor_is_made_again(parent_and_child: Repository, server: RegistryServer) -> None:
    """Its manifest is there, one of its layers is not (a garbage collection, a half-restored backup)."""
    store = RegistryStore(server.repository())
    parent = build(parent_and_child.directory, store, "main~1")
    expected = build(parent_and_child.directory, MemoryStore()).digest
    planned = build(parent_and_child.directory, MemoryStore(), "main")
    lost = next(layer.digest for layer in parent.layers if layer.digest in {kept.digest for kept in planned.layers})
    lose(server, lost)
    image = build(parent_and_child.directory, RegistryStore(server.repository()))
    assert image.digest == expected
    assert flatten(store, image.digest) == parent_and_child.files("HEAD")
    assert_tags(server, image.commit.sha, expected)


def assert_tags(server: RegistryServer, sha: str, digest: str) -> None:
    tags = {tag: named for tag, named in server.state.repo("team/app").tags.items() if tag.startswith(sha)}
    assert set(tags.values()) == {digest}


def test_a_registry_that_never_takes_the_manifest_is_an_error_after_one_more_try(
    parent_and_child: Repository, server: RegistryServer
) -> None:
    unknown = Status(400, {"Content-Type": "application/json"}, json.dumps({"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]}).encode())
    server.fault(lambda request: request.method == "PUT" and "/manifests/" in request.target, unknown, times=100)
    with pytest.raises(BlobUnknownError):
        build(parent_and_child.directory, RegistryStore(server.repository()))
    assert len(server.seen("PUT", "/manifests/")) <= 4
    assert parent_and_child.text("rev-parse", "HEAD") not in server.state.repo("team/app").tags


def test_another_image_that_took_the_plain_tag_in_between_keeps_it(repository: Repository, server: RegistryServer) -> None:
    """Two people with two settings, at the same moment: both have their image, one has the plain tag."""
    repository.commit(numbered(5))
    other: list[str] = []

    def overtake(_: object) -> None:
        if not other:
            other.append("")
            other[0] = build(repository.directory, RegistryStore(server.repository()), "main", replace(ON_NOTHING, workdir="/app")).digest

    server.fault(lambda request: request.method == "POST", Run(overtake))
    mine = build(repository.directory, RegistryStore(server.repository()), "main")
    tags = server.state.repo("team/app").tags
    assert tags[mine.commit.sha] == other[0] != mine.digest
    assert sorted(tags.values()) == sorted([other[0], other[0], mine.digest])


# --- a full disk ----------------------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_a_clear_error_and_the_layout_stays_valid(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file size limit of a process stands for the disk where nobody may mount one: see also test_layout.py."""
    repository.history({"a": b"1"}, {"big.bin": os.urandom(3_000_000)})
    directory = tmp_path / "images"
    build(repository.directory, LayoutStore(directory), "main~1")
    script = """
import resource, signal, sys
from builder.cli import frame
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
sys.exit(frame.run(["image", "--commit", "main", "--base", "scratch", "--to", "oci:" + sys.argv[1]]))
"""
    words = [sys.executable, "-c", script, str(directory)]
    done = subprocess.run(words, cwd=repository.directory, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"cannot write" in done.stderr
    assert str(directory).encode() in done.stderr
    assert b"Traceback" not in done.stderr
    assert list((directory / ".tmp").iterdir()) == []
    store = LayoutStore(directory)
    assert flatten(store, store.get_manifest(repository.text("rev-parse", "main~1")).digest) == repository.files("main~1")  # type: ignore[union-attr]
    assert len(store.list_tags()) == 2
    image = build(repository.directory, store, "main")
    assert flatten(store, image.digest) == repository.files("main")


def test_no_room_for_a_large_layer_on_the_way_is_an_error_of_ours(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers over 8 MiB are first written to the temporary directory."""
    monkeypatch.setattr(layers, "_unnamed_file", lambda: os.open("/dev/full", os.O_RDWR))
    repository.commit({"big.bin": os.urandom(9 << 20)})
    with pytest.raises(StoreError, match="No space left") as caught:
        build(repository.directory, MemoryStore(), "main")
    assert "TMPDIR" in caught.value.hint
