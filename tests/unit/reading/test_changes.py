"""What changed between two commits, as far as it matters to a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.model.annotations import BASE_DIGEST, BASE_NAME, KIND
from builder.model.oci import Descriptor, Manifest
from builder.runs import changes as module
from builder.runs.changes import Changes, Side, changes, differences, requirements
from builder.settings import Settings
from builder.source.repository import Git
from tests.fixtures.repositories import Repository

LOCK = """
# made by a tool
numpy==1.26.0 \\
    --hash=sha256:00
Torch_Audio[extra]==2.1 ; python_version > "3"
"""
SETTINGS = '[image]\nbase = "registry.test/base@sha256:{digit}"\n[image.deps]\n{deps}\n'


def text(digit: str = "1", deps: str = 'lock = "requirements.txt"') -> bytes:
    return SETTINGS.format(digit=digit * 64, deps=deps).encode()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.make(tmp_path / "team")


@pytest.fixture
def git(repository: Repository) -> Iterator[Git]:
    with Git.open(repository.directory) as opened:
        yield opened


def commit(repository: Repository, subject: str, files: Mapping[str, bytes]) -> str:
    for name, data in files.items():
        path = repository.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--allow-empty", "--message", subject)
    return repository.git("rev-parse", "HEAD").decode().strip()


def compare(git: Git | None, before: str, after: str, **sides: Any) -> Changes:
    config = sides.pop("config", ({}, {}))
    manifests = sides.pop("manifests", (None, None))
    return changes(Side(before, config[0], manifests[0]), Side(after, config[1], manifests[1]), git, Settings())


def manifest(base: str, *deps: str) -> Manifest:
    def layer(digest: str, kind: str) -> Descriptor:
        return Descriptor("layer", digest, 1, {KIND: kind})

    annotations = {BASE_NAME: "registry.test/base", BASE_DIGEST: base}
    return Manifest(Descriptor("config", "sha256:0", 1), tuple(layer(digest, "deps") for digest in deps), annotations=annotations)


def test_commits_with_their_authors_and_those_of_the_other_side(repository: Repository, git: Git) -> None:
    first = commit(repository, "First", {"a": b"1"})
    second = commit(repository, "Second", {"a": b"2"})
    third = commit(repository, "Third", {"a": b"3"})
    found = compare(git, first, third)
    assert [(one.author, one.subject) for one in found.commits] == [("Ada Example", "Third"), ("Ada Example", "Second")]
    assert (found.ahead, found.behind, found.unknown) == (2, 0, ())
    repository.git("checkout", "--quiet", "-b", "side", first)
    side = commit(repository, "Side", {"b": b"1"})
    found = compare(git, third, side)
    assert ([one.subject for one in found.commits], found.ahead, found.behind) == (["Side"], 1, 2)
    assert compare(git, second, second).is_empty


def test_many_commits_are_counted(repository: Repository, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    shas = [commit(repository, f"Number {number}", {}) for number in range(5)]
    found = compare(git, shas[0], shas[-1])
    assert (len(found.commits), found.ahead) == (2, 4)


def test_a_commit_that_git_lacks_is_named_and_the_rest_is_compared(repository: Repository, git: Git) -> None:
    first = commit(repository, "First", {"a": b"1"})
    found = compare(git, "0" * 40, first, config=({"lr": 1}, {"lr": 2}))
    assert found.config == {"lr": ("1", "2")}
    assert any(f"no commit is named {'0' * 40!r}" in line for line in found.unknown)
    assert all("git repository" in line or "configuration" in line for line in compare(None, first, first, config=(None, {})).unknown)


def test_the_configuration_key_by_key() -> None:
    before = {"lr": 0.1, "model": {"layers": 2, "kind": "small"}, "gone": None, "same": [1]}
    after = {"lr": 0.2, "model": {"layers": 2, "kind": "big"}, "new": "x", "same": [1]}
    assert differences(before, after) == {"lr": ("0.1", "0.2"), "model.kind": ("small", "big"), "gone": ("None", "-"), "new": ("-", "x")}
    assert differences(before, before) == {}


def test_packages_of_a_lock_by_name(repository: Repository, git: Git) -> None:
    assert requirements(LOCK.encode()) == {"numpy": "1.26.0", "torch-audio": "2.1"}
    first = commit(repository, "First", {"builder.toml": text(), "requirements.txt": LOCK.encode()})
    newer = LOCK.replace("1.26.0", "2.0.0").replace("Torch_Audio[extra]==2.1", "requests==2.31")
    second = commit(repository, "Second", {"requirements.txt": newer.encode()})
    found = compare(git, first, second)
    assert found.deps == {"numpy": ("1.26.0", "2.0.0"), "requests": ("-", "2.31"), "torch-audio": ("2.1", "-")}


def test_files_of_a_dockerfile(repository: Repository, git: Git) -> None:
    deps = 'dockerfile = "Dockerfile"\ncontext = ["wheels"]\nargs = { CUDA = "%s" }'
    files = {"Dockerfile": b"FROM x", "wheels/a": b"1", "wheels/b": b"1"}
    first = commit(repository, "First", {**files, "builder.toml": text(deps=deps % "12")})
    second = commit(repository, "Second", {"wheels/b": b"2", "builder.toml": text(deps=deps % "13")})
    assert set(compare(git, first, second).deps) == {"wheels/b", "ARG CUDA"}


def test_the_base_by_the_images_else_by_the_settings(repository: Repository, git: Git) -> None:
    first = commit(repository, "First", {"builder.toml": text("1")})
    second = commit(repository, "Second", {"builder.toml": text("2")})
    assert compare(git, first, second).base == {
        "base": (f"registry.test/base@sha256:{'1' * 64}", f"registry.test/base@sha256:{'2' * 64}"),
    }
    same = (manifest("sha256:1"), manifest("sha256:1"))
    assert compare(git, first, second, manifests=same).base == {}
    other = (manifest("sha256:1"), manifest("sha256:3"))
    assert compare(git, first, first, manifests=other).base == {"base": ("registry.test/base@sha256:1", "registry.test/base@sha256:3")}


def test_layers_of_dependencies_where_no_name_says_what_differs(repository: Repository, git: Git) -> None:
    first = commit(repository, "First", {"a": b"1"})
    images = (manifest("sha256:1", f"sha256:{'a' * 64}"), manifest("sha256:1", f"sha256:{'b' * 64}"))
    assert compare(git, first, first, manifests=images).deps == {"layers": ("a" * 12, "b" * 12)}
    assert compare(git, first, first, manifests=(images[0], replace(images[0]))).deps == {}
