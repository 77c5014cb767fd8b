"""What housekeep's pod does at its end: the page in the data root, made of what the pod can reach."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.deploy.starter import URL
from builder.errors import DataError
from builder.image.tool import own_files
from builder.model.tree import Commit
from builder.page import flow
from builder.page.html import _WEB
from builder.runs.prepare import Overrides, Wanted, make_request
from builder.settings import load
from builder.settings.keeping import PAGE
from builder.steps.request import Place, Task
from tests.fixtures.images import build
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.records import root, write_run
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home

__all__ = ["an_empty_repository", "at_nobodys_home"]


def task(path: Path, more: str = "") -> Task:
    (path / "builder.toml").write_text(f'[schedule.housekeep]\ncron = "@daily"\n[store]\nto = "registry.test/team/agent"\n{more}')
    commit = Commit("a" * 40, "b" * 40, (), 0, "ada", "First")
    wanted = Wanted("housekeep", commit, load(path, {}), Overrides(), "")
    request = make_request(wanted, "argo", "", f"registry.test/x@sha256:{'0' * 64}", Place("/code", "/builder-work/run"))
    return Task(replace(request, run="housekeep-1", data=replace(request.data, root=str(root(path).root))))


def told(path: Path) -> dict[str, Any]:
    text = (root(path).get(PAGE) or b"").decode()
    found: dict[str, Any] = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    return found


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """In place of the registry."""
    store = MemoryStore("registry.test/team/agent")
    store.close = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setattr(flow, "RegistryStore", lambda *_, **__: store)
    return store


def test_the_pod_reads_commits_by_the_secret(
    repository: Repository, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (repository.commit({f"{number}.txt": b"x"}) for number in range(2))
    build(repository.directory, store, second)
    write_run(root(tmp_path), "finetune-1", commit=first)
    monkeypatch.setenv(URL, repository.directory.as_uri())
    flow.run(task(tmp_path))
    page = told(tmp_path)
    assert [commit["sha"] for commit in page["commits"]] == [second, first]
    assert all(commit["author"] for commit in page["commits"])
    assert page["commits"][0]["image"]["digest"] == store.tags[second]
    assert [run["run"] for run in page["runs"]] == ["finetune-1"]
    assert page["name"] == repository.directory.name.removesuffix(".git")
    (note,) = page["notes"]
    assert note.startswith("Argo cannot be asked")


def test_without_the_secret_images_and_runs_tell_of_commits(
    repository: Repository, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(URL, raising=False)
    sha = repository.commit({"a.txt": b"x"})
    build(repository.directory, store, sha)
    flow.run(task(tmp_path))
    page = told(tmp_path)
    assert [commit["sha"] for commit in page["commits"]] == [sha]
    assert any("[deploy] git_secret" in note for note in page["notes"])


@pytest.mark.parametrize("url", ["file:///nowhere/at-all.git", "not a url", "--upload-pack=touch hit"])
def test_a_repository_that_cannot_be_read_is_a_note(store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(URL, url)
    monkeypatch.chdir(tmp_path)
    flow.run(task(tmp_path))
    assert any("cannot be cloned" in note for note in told(tmp_path)["notes"])
    assert not (tmp_path / "hit").exists()


def test_it_is_replaced_every_night_and_can_be_turned_off(store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL, raising=False)
    objects = root(tmp_path)
    objects.put(PAGE, b"of before")
    flow.run(task(tmp_path, "[housekeep]\npage = false\n"))
    assert objects.get(PAGE) == b"of before"
    flow.run(task(tmp_path))
    assert objects.get(PAGE) != b"of before"


def test_a_page_that_cannot_be_written_fails_the_step(store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL, raising=False)
    made = task(tmp_path)
    root(tmp_path).root.mkdir(parents=True)
    (root(tmp_path).root / "page").write_text("a file where a folder belongs")
    with pytest.raises(DataError, match="page"):
        flow.run(made)


def test_the_image_has_what_the_page_is_made_of() -> None:
    there = {name for name, _ in own_files()}
    assert {f"builder/page/web/{path.name}" for path in _WEB.iterdir()} <= there
