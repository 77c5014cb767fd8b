"""A tree as layers: the same files give the same layers, wherever they lie and however they got there."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from builder.errors import LaunchError
from builder.launch.slurm import code
from builder.launch.slurm.code import layers_of


def make(tree: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tree


FILES = {"README": "a", "agent/train.py": "b", "agent/deep/x.py": "c", "configs/a.yaml": "d", "configs/b.yaml": "e"}


def test_layers_depend_on_files_alone(tmp_path: Path) -> None:
    one, other = make(tmp_path / "one", FILES), make(tmp_path / "other", dict(reversed(FILES.items())))
    (other / "empty/folder").mkdir(parents=True)
    os.utime(other / "README", (1, 1))
    (other / "README").chmod(0o600)
    assert layers_of(one) == layers_of(other)
    assert sorted(path for layer in layers_of(one) for path in layer.paths) == sorted(FILES)
    assert len({layer.digest for layer in layers_of(one)}) == len(layers_of(one))


@pytest.mark.parametrize("change", ["content", "program", "name", "link", "target"])
def test_every_change_makes_its_layer_another_one(tmp_path: Path, change: str) -> None:
    tree = make(tmp_path / "tree", FILES)
    (tree / "link").symlink_to("README")
    before, file = layers_of(tree), tree / "agent/train.py"
    if change == "content":
        file.write_text("B")
    elif change == "program":
        file.chmod(0o755)
    elif change == "name":
        file.rename(tree / "agent/trains.py")
    elif change == "link":
        file.unlink()
        file.symlink_to("b")
    else:
        (tree / "link").unlink()
        (tree / "link").symlink_to("agent")
    after = layers_of(tree)
    assert len({layer.digest for layer in after} - {layer.digest for layer in before}) == 1


def test_what_is_large_is_a_layer_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "_LARGE", 100)
    tree = make(tmp_path / "tree", {"a/small": "x", "a/large": "x" * 100, "a/larger": "x" * 200})
    assert sorted(layer.paths for layer in layers_of(tree)) == [("a/large",), ("a/larger",), ("a/small",)]


def test_names_of_any_bytes(tmp_path: Path) -> None:
    tree = make(tmp_path / "tree", {"two\nlines": "", "é ☃": "x", "-n": ""})
    odd = os.fsdecode(b"\xff\xfe")
    (tree / odd).write_text("odd")
    (layer,) = layers_of(tree)
    packed = code._packed(tree, [layer], [layer])
    packed.seek(0)
    with packed, tarfile.open(fileobj=packed) as archive:
        names = {name.removeprefix(f"layers/{layer.digest}/") for name in archive.getnames()}
    assert names == {"names", "two\nlines", "é ☃", "-n", odd}


def test_a_tree_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="cannot be read: No such file or directory"):
        layers_of(tmp_path / "gone")
