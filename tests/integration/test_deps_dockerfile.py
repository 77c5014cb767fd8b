"""Dependencies from dockerfiles/pytorch/Dockerfile, built by a real BuildKit on a base shaped like NVIDIA's."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from builder.cache import Cache
from builder.errors import DepsError
from builder.image.base import Base, load_base, scratch
from builder.image.deps import Artifacts, BuildPlace, CommitFiles, Deps, build_deps, lookup, plan_deps, resolve_deps
from builder.model.annotations import KIND
from builder.model.oci import Manifest, sha256
from builder.model.reference import Reference, Repository
from builder.model.tree import FILE, Entry
from builder.settings import DepsSettings, ImageSettings
from builder.stores.registry import RegistryStore
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.wheels import make_wheel

DOCKERFILE = Path(__file__).parents[2] / "dockerfiles" / "pytorch" / "Dockerfile"
SETTINGS = ImageSettings(deps=DepsSettings(dockerfile="docker/Dockerfile", context=("requirements.txt", "wheels")))


def commit_files(tree: dict[str, bytes]) -> CommitFiles:
    entries = [Entry(path.encode(), FILE, sha256(data)[7:47]) for path, data in sorted(tree.items())]

    def stream(wanted: Sequence[Entry]) -> Iterator[tuple[Entry, int, Iterator[bytes]]]:
        for entry in wanted:
            yield entry, len(tree[entry.path.decode()]), iter([tree[entry.path.decode()]])

    return CommitFiles(tree.get, lambda: entries, stream)


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, bytes]:
    """A commit that needs a package which nobody has to download."""
    make_wheel(tmp_path, "greeting", "1.0", {"greeting.py": "TEXT = 'good morning'\n"})
    wheel = tmp_path / "greeting-1.0-py3-none-any.whl"
    requirements = b"--no-index\n--find-links wheels\ngreeting==1.0\ntorch\n"
    return {
        "docker/Dockerfile": DOCKERFILE.read_bytes(),
        "requirements.txt": requirements,
        f"wheels/{wheel.name}": wheel.read_bytes(),
        "secret.txt": b"not declared, so not sent",
    }


@pytest.fixture
def store(docker_registry: str, request: pytest.FixtureRequest, tmp_path: Path) -> RegistryStore:
    """A repository of its own per test."""
    name = request.node.name.partition("[")[0].replace("_", "-")
    return RegistryStore(Repository.parse(f"{docker_registry}/deps/{name}-{sha256(str(tmp_path).encode())[7:15]}"))


@pytest.fixture
def base(ngc_base: str, tmp_path: Path) -> Base:
    repository = Reference.parse(ngc_base).repository
    return load_base(ngc_base, [RegistryStore(repository)], Cache(tmp_path / "blobs"))


@pytest.fixture
def docker(docker_cli: str, docker_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`docker` on PATH; the test engine has no bridge, so builds say that they use the host's network."""
    shim = tmp_path / "bin" / "docker"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\n[ "$1" = build ] && shift && set -- build --network=host "$@"\nexec {docker_cli} "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent), prepend=":")
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    return lambda *argv: subprocess.run([shim, *argv], check=True, capture_output=True, text=True).stdout


def check_built(deps: Deps, store: RegistryStore, base: Base) -> None:
    stored = store.get_manifest(deps.digest)
    assert stored is not None
    manifest = Manifest.from_bytes(stored.data)
    assert [layer.digest for layer in manifest.layers] == [
        *(layer.digest for layer in base.layers),
        *(layer.digest for layer in deps.layers),
    ]
    assert {layer.annotations[KIND] for layer in manifest.layers[: len(base.layers)]} == {"base"}
    assert deps.layers
    assert len(deps.layers) <= 3
    assert deps.config.keys() <= {"Env"}
    assert store.get_manifest(f"deps-{deps.key}") == stored


def test_docker_builds_it_and_it_can_be_imported(
    docker: Callable[..., str], store: RegistryStore, base: Base, tree: dict[str, bytes]
) -> None:
    artifacts = Artifacts(store)
    deps = resolve_deps(SETTINGS, commit_files(tree), base, artifacts)
    assert deps is not None
    check_built(deps, store, base)
    asked = store.requests
    assert resolve_deps(SETTINGS, commit_files({**tree, "secret.txt": b"changed"}), base, artifacts) == deps
    assert store.requests == asked + 1
    code = "import greeting, torch, os; print(greeting.TEXT, torch.__version__, os.listdir('/mnt'))"
    said = docker("run", "--rm", "--network=none", f"{store.name}@{deps.digest}", "python", "-c", code)
    assert said == "good morning 2.4.0a0+3bcc3cddb5.nv24.7 []\n"


def test_a_remote_buildkitd_builds_it(
    buildkit_host: str, buildctl: str, store: RegistryStore, base: Base, tree: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(buildctl).parent), prepend=":")
    deps = resolve_deps(SETTINGS, commit_files(tree), base, Artifacts(store), place=BuildPlace(buildkit=buildkit_host))
    assert deps is not None
    check_built(deps, store, base)
    assert store.list_tags() == (f"deps-{deps.key}",)


def test_who_builds_second_adopts_what_is_there(
    buildkit_host: str, buildctl: str, store: RegistryStore, base: Base, tree: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(buildctl).parent), prepend=":")
    tree["docker/Dockerfile"] = b"ARG BASE\nFROM ${BASE}\nRUN head -c 16 /dev/urandom > /random\n"
    settings = replace(SETTINGS, deps=DepsSettings(dockerfile="docker/Dockerfile"))
    recipe = plan_deps(settings, commit_files(tree), base)
    assert recipe is not None
    place = BuildPlace(buildkit=buildkit_host)
    first = build_deps(recipe, commit_files(tree), base, Artifacts(store), place=place)
    assert build_deps(recipe, commit_files(tree), base, Artifacts(store), place=place) == first
    assert lookup(recipe, Artifacts(store)) == first


def test_what_is_not_built_on_the_base_is_refused(
    buildkit_host: str, buildctl: str, store: RegistryStore, base: Base, tree: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(buildctl).parent), prepend=":")
    tree["docker/Dockerfile"] = b"ARG BASE\nFROM ${BASE} AS from-base\nFROM scratch\nCOPY requirements.txt /\n"
    with pytest.raises(DepsError, match="not built on"):
        resolve_deps(SETTINGS, commit_files(tree), base, Artifacts(store), place=BuildPlace(buildkit=buildkit_host))
    assert not any(tag.startswith("deps-") for tag in store.list_tags())


def test_a_failing_instruction_is_shown(
    buildkit_host: str, buildctl: str, store: RegistryStore, base: Base, tree: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(buildctl).parent), prepend=":")
    tree["requirements.txt"] = b"--no-index\nno-such-package==1\n"
    with pytest.raises(DepsError, match="no-such-package"):
        resolve_deps(SETTINGS, commit_files(tree), base, Artifacts(store), place=BuildPlace(buildkit=buildkit_host))


# --- without any engine ---------------------------------------------------------------------------------------------------------------

ELSEWHERE = replace(scratch(), reference="registry.test/base@sha256:" + "1" * 64, digest="sha256:" + "1" * 64)


def test_where_nothing_builds_it_says_where_it_can_be_built(
    tree: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for place in (BuildPlace(), BuildPlace(buildkit="tcp://127.0.0.1:1")):
        with pytest.raises(DepsError, match="not built yet") as caught:
            resolve_deps(SETTINGS, commit_files(tree), ELSEWHERE, Artifacts(MemoryStore("registry.test/x")), place=place)
        assert "builder deps" in caught.value.hint
        assert "CI" in caught.value.hint


def test_a_dockerfile_needs_a_registry(tree: dict[str, bytes]) -> None:
    with pytest.raises(DepsError, match="into a registry"):
        resolve_deps(SETTINGS, commit_files(tree), ELSEWHERE, Artifacts(MemoryStore("oci:/x")))


@pytest.mark.parametrize(
    ("base", "text", "message"),
    [
        (ELSEWHERE, b"FROM nvcr.io/nvidia/pytorch\n", "does not take its base"),
        (ELSEWHERE, b"ARG BASE\nFROM debian\n", "does not take its base"),
        (scratch(), b"ARG BASE\nFROM $BASE\n", "starts from scratch"),
        (replace(ELSEWHERE, reference="oci:/x@sha256:" + "1" * 64), b"ARG BASE\nFROM $BASE\n", "in a registry"),
    ],
)
def test_a_dockerfile_that_cannot_stand_on_the_base_is_refused_before_anything_runs(base: Base, text: bytes, message: str) -> None:
    settings = replace(SETTINGS, deps=DepsSettings(dockerfile="docker/Dockerfile"))
    with pytest.raises(DepsError, match=message):
        plan_deps(settings, commit_files({"docker/Dockerfile": text}), base)
