"""The tool's own layers: named by what they hold, made once, complete."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

import builder
from builder.errors import SettingsError
from builder.image import tool
from builder.image.base import Base, scratch
from builder.image.deps import Artifacts, lock
from builder.settings import ImageSettings
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.wheels import make_wheel

BASE = replace(scratch(), reference="registry.test/base@sha256:" + "1" * 64, digest="sha256:" + "1" * 64, python="3.11")
SETTINGS = ImageSettings(base=BASE.reference)


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock of one package, so that nothing is downloaded."""
    monkeypatch.setattr(tool, "_LOCK", tmp_path / "tool-requirements.txt")
    (tmp_path / "tool-requirements.txt").write_text(make_wheel(tmp_path / "wheels", "metaflow", "1.0", {"metaflow/__init__.py": ""}))
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))


def names(store: MemoryStore, layer: str) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(store.blobs[layer])) as tar:
        return tar.getnames()


def test_packages_and_own_files_are_two_layers_under_opt_builder() -> None:
    store = MemoryStore()
    made = tool.resolve_tool(SETTINGS, BASE, Artifacts(store))
    assert made is not None
    packages, own = (names(store, layer.digest) for layer in made.layers)
    assert "opt/builder/metaflow/__init__.py" in packages
    assert {
        "opt/builder/builder/__init__.py",
        "opt/builder/builder/_data/workflows/finetune.py",
        "opt/builder/repo_slim/__init__.py",
    } < set(own)
    assert all(name.startswith("opt/builder/") and "__pycache__" not in name for name in [*packages, *own])
    assert store.tags == {f"tool-{made.key}": made.digest, f"tool-{builder.__version__}-cp311-amd64": made.digest}


def test_they_are_made_once_and_a_copy_on_disk_serves_other_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = MemoryStore("copies")
    made = tool.resolve_tool(SETTINGS, BASE, Artifacts(MemoryStore("one"), copies=copies))
    monkeypatch.setattr("builder.process.run", lambda *args, **kwargs: pytest.fail("something ran"))
    other = MemoryStore("two")
    assert tool.resolve_tool(SETTINGS, BASE, Artifacts(other, copies=copies)) == made
    assert tool.resolve_tool(SETTINGS, BASE, Artifacts(other)) == made
    assert made is not None
    assert tool.find_tool(SETTINGS, BASE, Artifacts(MemoryStore("three"), copies=copies)) is None


def test_the_key_changes_with_whatever_goes_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def key(python: str, platform: str) -> str:
        tool.tool_key.cache_clear()
        return tool.tool_key(python, platform)

    keys = [key("3.11", "linux/amd64"), key("3.12", "linux/amd64"), key("3.11", "linux/arm64")]
    files = list(tool.own_files())
    monkeypatch.setattr(tool, "own_files", lambda: iter([*files, ("builder/new.py", b"")]))
    keys.append(key("3.11", "linux/amd64"))
    monkeypatch.setattr(tool, "own_files", lambda: iter([*files[:-1], (files[-1][0], files[-1][1] + b"\n")]))
    keys.append(key("3.11", "linux/amd64"))
    monkeypatch.setattr(tool, "own_files", lambda: iter(files))
    assert key("3.11", "linux/amd64") == keys[0]
    (tmp_path / "tool-requirements.txt").write_text("")
    keys.append(key("3.11", "linux/amd64"))
    assert len(set(keys)) == len(keys)


def test_an_installed_wheel_and_a_checkout_give_the_same_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a wheel the workflows lie inside the package, next to data that the image does not need."""
    for path, data in tool.own_files():
        (tmp_path / "site" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / path).write_bytes(data)
    (tmp_path / "site/builder/_data/examples").mkdir()
    (tmp_path / "site/builder/_data/examples/train.py").touch()
    expected = list(tool.own_files())
    monkeypatch.setattr(tool, "_PACKAGE", tmp_path / "site/builder")
    monkeypatch.setattr("builder.data_files._PACKAGE", tmp_path / "site/builder")
    assert list(tool.own_files()) == expected


@pytest.mark.parametrize("stray", ["image/tool.py.orig", "notes.txt", "image/.#tool.py", "dump.bin", "core"])
def test_what_lies_about_in_a_checkout_stays_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stray: str) -> None:
    for path in ("builder/image/tool.py", "builder/py.typed", "builder/image/tool-requirements.txt", f"builder/{stray}"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    for other in ("repo_slim", "workflows"):
        (tmp_path / other).mkdir()
    monkeypatch.setattr(tool, "_PACKAGE", tmp_path / "builder")
    monkeypatch.setattr("builder.data_files._PACKAGE", tmp_path / "builder")
    assert [path for path, _ in tool.own_files()] == ["builder/image/tool-requirements.txt", "builder/image/tool.py", "builder/py.typed"]


def test_every_tracked_file_is_in_but_those_that_no_image_needs() -> None:
    not_needed = {"builder/image/tool-requirements.in", "repo_slim/report/page.css", "repo_slim/report/page.js"}
    root = Path(builder.__file__).parents[1]
    listed = subprocess.run(["git", "ls-files", "builder", "repo_slim"], cwd=root, capture_output=True, text=True, check=True)
    assert set(listed.stdout.split()) - not_needed <= {path for path, _ in tool.own_files()}


def test_what_the_base_says_of_its_python_goes_before_the_settings() -> None:
    made = tool.resolve_tool(replace(SETTINGS, python="3.12"), BASE, Artifacts(MemoryStore()))
    assert made is not None
    assert made.key == tool.tool_key("3.11", "linux/amd64")


def test_another_version_is_taken_from_the_store() -> None:
    store = MemoryStore()
    artifacts = Artifacts(store)
    made = tool.resolve_tool(SETTINGS, BASE, artifacts)
    assert made is not None
    store.tags["tool-0.0.7-cp311-amd64"] = made.digest
    found = tool.resolve_tool(replace(SETTINGS, tool="0.0.7"), BASE, artifacts)
    assert found is not None
    assert (found.digest, found.layers) == (made.digest, made.layers)


def test_another_version_that_is_nowhere_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"asks for version 0\.0\.7") as caught:
        tool.resolve_tool(replace(SETTINGS, tool="0.0.7"), BASE, Artifacts(MemoryStore()))
    assert f'tool = "{builder.__version__}"' in caught.value.hint


@pytest.mark.parametrize(
    ("settings", "base", "warning"),
    [
        (ImageSettings(base="scratch", python="3.11"), scratch(), ""),
        (SETTINGS, replace(BASE, python=""), "unknown"),
        (SETTINGS, replace(BASE, python="3.9"), "3.10 or newer"),
    ],
)
def test_no_layers_where_nothing_could_run_them(settings: ImageSettings, base: Base, warning: str) -> None:
    said = tool.without_tool(settings, base)
    assert said is not None
    assert (warning in said) if warning else said == ""
    assert tool.resolve_tool(settings, base, Artifacts(MemoryStore())) is None


def test_the_lock_holds_what_the_built_in_flows_import() -> None:
    """Whoever imports something new in a step adds it to tool-requirements.in and runs `make tool-lock`."""
    root = Path(builder.__file__).parent
    packages = {"yaml": "pyyaml"}
    locked = {requirement.name for requirement in lock.parse((root / "image/tool-requirements.txt").read_bytes(), "tool-requirements.txt")}
    sources = [path for part in ("steps", "launch", "model", "data") for path in (root / part).rglob("*.py")]
    for path in [*sources, root / "errors.py", root / "process.py", *(root.parent / "workflows").glob("*.py")]:
        for module in imported(path) - sys.stdlib_module_names - {"builder", "repo_slim", "tomli"}:
            assert packages.get(module, module) in locked, f"{path.name} imports {module}"


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found
