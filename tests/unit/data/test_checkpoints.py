"""What may be a checkpoint, and that any such comes back as it was."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.data.checkpoint_manifest import Item, Manifest, stays_inside
from builder.data.checkpoints import checkpoint_key, freeze, materialise
from builder.data.directory import DirectoryObjects
from builder.errors import DataError, IntegrityError
from builder.model.oci import canonical_json, sha256
from tests.contract.test_checkpoints_contract import content, make
from tests.unit.data.test_directory import without_rights

NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..")
)
TREES = st.recursive(
    st.tuples(st.binary(max_size=50), st.booleans()), lambda inner: st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
).filter(lambda tree: isinstance(tree, dict))


def write(tree: object, path: Path) -> None:
    if isinstance(tree, dict):
        path.mkdir()
        for name, inner in tree.items():
            write(inner, path / name)
    else:
        data, executable = tree  # type: ignore[misc]
        path.write_bytes(data)
        path.chmod(0o755 if executable else 0o640)


@settings(max_examples=150, deadline=None)
@given(TREES)
def test_any_tree_comes_back_as_it_was(tree: object) -> None:
    with tempfile.TemporaryDirectory() as made:
        top = Path(made)
        write(tree, top / "tree")
        root = DirectoryObjects(top / "root")
        if not content(top / "tree"):
            with pytest.raises(DataError, match="nothing in"):
                freeze(root, top / "tree")
            return
        frozen = freeze(root, top / "tree")
        materialise(root, frozen.digest, top / "copy")
        assert content(top / "copy") == content(top / "tree")
        assert freeze(root, top / "copy") == frozen
        assert frozen.size == sum(path.stat().st_size for path in (top / "tree").rglob("*") if path.is_file())


def test_the_digest_is_of_the_content_alone(tmp_path: Path) -> None:
    """Not of where it lies, whose it is, when it was written, or of which rights there are beside the executable bit."""
    root, one, two = DirectoryObjects(tmp_path / "root"), make(tmp_path / "one"), make(tmp_path / "two/deep")
    (two / "config.json").chmod(0o400)
    (two / "run ä.sh").chmod(0o700)
    os.utime(two / "config.json", (0, 0))
    (two / "another-empty").mkdir()
    assert freeze(root, two) == freeze(root, one)
    (tmp_path / "link").symlink_to("one")
    assert freeze(root, tmp_path / "link") == freeze(root, one)
    (two / "run ä.sh").chmod(0o600)
    assert freeze(root, two) != freeze(root, one)


def test_what_is_frozen_is_read_only(tmp_path: Path) -> None:
    freeze(DirectoryObjects(tmp_path / "root"), make(tmp_path / "checkpoint"))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "root").rglob("*") if path.is_file()}
    assert {mode & 0o222 for mode in modes} == {0}


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "inside/../../secret", "dot/../../secret", "through/../../../secret", ".."])
def test_links_that_lead_out_are_refused(tmp_path: Path, target: str) -> None:
    directory = make(tmp_path / "checkpoint")
    (tmp_path / "secret").write_text("of somebody")
    (directory / "inside").mkdir()
    (directory / "dot").symlink_to(".")
    (directory / "through").symlink_to("shards")
    (directory / "out").symlink_to(target)
    with pytest.raises(DataError, match="out cannot be frozen: it leads out of the checkpoint"):
        freeze(DirectoryObjects(tmp_path / "root"), directory)
    assert not (tmp_path / "root").exists()


def test_a_link_that_leads_out_only_through_another_is_refused(tmp_path: Path) -> None:
    """By its text `dot/../secret` is `secret`; but `dot` is the checkpoint itself, and above that is the outside."""
    directory = make(tmp_path / "checkpoint")
    (directory / "dot").symlink_to(".")
    (directory / "out").symlink_to("dot/../secret")
    with pytest.raises(DataError, match="out cannot be frozen: it leads out"):
        freeze(DirectoryObjects(tmp_path / "root"), directory)


def test_an_absolute_link_is_refused_even_if_it_leads_inside(tmp_path: Path) -> None:
    """Elsewhere it would lead to this place, or nowhere."""
    directory = make(tmp_path / "checkpoint")
    (directory / "absolute").symlink_to(directory / "config.json")
    with pytest.raises(DataError, match="absolute cannot be frozen: it leads out"):
        freeze(DirectoryObjects(tmp_path / "root"), directory)


@pytest.mark.parametrize("name", [b"new\nline", b"escape\x1b[31m", b"broken\xff", "c1\x85".encode()])
def test_hostile_names_are_refused(tmp_path: Path, name: bytes) -> None:
    directory = make(tmp_path / "checkpoint")
    Path(os.fsdecode(os.fsencode(directory) + b"/shards/" + name)).touch()
    with pytest.raises(DataError, match="control characters or broken UTF-8") as caught:
        freeze(DirectoryObjects(tmp_path / "root"), directory)
    assert caught.value.message.isprintable()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    directory, root = make(tmp_path / "checkpoint"), DirectoryObjects(tmp_path / "root")
    os.mkfifo(directory / "pipe")
    with pytest.raises(DataError, match="pipe cannot be frozen: it is neither a file nor a link"):
        freeze(root, directory)
    (directory / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "socket"))
        with pytest.raises(DataError, match="socket cannot be frozen"):
            freeze(root, directory)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    root = DirectoryObjects(tmp_path / "root")
    with pytest.raises(DataError, match="missing cannot be read: No such file"):
        freeze(root, tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file cannot be read: Not a directory"):
        freeze(root, tmp_path / "file")
    (tmp_path / "empty/inside").mkdir(parents=True)
    with pytest.raises(DataError, match=r"nothing in .*empty to freeze"):
        freeze(root, tmp_path / "empty")


def test_a_file_that_changes_while_it_is_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, root = make(tmp_path / "checkpoint"), DirectoryObjects(tmp_path / "root")
    real = DirectoryObjects.put_file

    def put_file(self: DirectoryObjects, key: str, path: Path, *args: str, **options: bool) -> bool:
        if path.name == "config.json":
            path.write_text("training goes on")
        return real(self, key, path, *args, **options)

    monkeypatch.setattr(DirectoryObjects, "put_file", put_file)
    with pytest.raises(IntegrityError, match=r"config\.json does not hash to"):
        freeze(root, directory)
    assert list(root.list("checkpoints/")) == []


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    root = DirectoryObjects(tmp_path / "root")
    digest = freeze(root, make(tmp_path / "checkpoint")).digest
    (tmp_path / "file").touch()
    for target, said in ((tmp_path / "file/copy", "cannot be written"), (tmp_path / "file", "is not checkpoint")):
        with pytest.raises(DataError, match=said):
            materialise(root, digest, target)
    tmp_path.chmod(0o755)
    (tmp_path / "closed").mkdir()
    with without_rights(tmp_path / "closed"), pytest.raises(DataError, match="Permission denied"):
        materialise(root, digest, tmp_path / "closed/copy")


FILE = Item("a", 1, "0" * 64)
HOSTILE = {
    "a path out of it": [{"path": "../a", "size": 1, "sha256": "0" * 64}],
    "an absolute path": [{"path": "/a", "size": 1, "sha256": "0" * 64}],
    "a link out of it": [{"path": "a", "link": "../b"}],
    "an absolute link": [{"path": "a", "link": "/etc"}],
    "a file through a link": [{"path": "a", "link": "b"}, {"path": "a/b", "size": 1, "sha256": "0" * 64}],
    "a file twice": [FILE.to_json(), FILE.to_json()],
    "unsorted": [Item("b", 1, "0" * 64).to_json(), FILE.to_json()],
    "no sha256": [{"path": "a", "size": 1, "sha256": "../../../etc/passwd"}],
    "a size that is none": [{"path": "a", "size": True, "sha256": "0" * 64}],
    "a link with a size": [{"path": "a", "link": "b", "size": 3}],
    "more than we know": [{"path": "a", "size": 1, "sha256": "0" * 64, "setuid": True}],
    "no list": {"a": 1},
}


@pytest.mark.parametrize("items", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_manifest_is_refused_before_anything_is_written(tmp_path: Path, items: object) -> None:
    root = DirectoryObjects(tmp_path / "root")
    data = canonical_json({"schema": 1, "files": items})
    root.put(checkpoint_key(sha256(data)), data)
    with pytest.raises(IntegrityError, match=r"json is no checkpoint"):
        materialise(root, sha256(data), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_hostile_manifest_whose_links_lead_out_together(tmp_path: Path) -> None:
    root = DirectoryObjects(tmp_path / "root")
    data = Manifest.of([Item("dot", link="."), Item("out", link="dot/../root")]).to_bytes()
    root.put(checkpoint_key(sha256(data)), data)
    with pytest.raises(IntegrityError, match=r"out of checkpoint .* leads out of it"):
        materialise(root, sha256(data), tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root"]


@pytest.mark.parametrize(
    ("path", "link", "inside"), [("a/b", "../c", True), ("a", "..", False), ("a/b", "..", True), ("a", "b/../..", False)]
)
def test_where_a_link_leads(path: str, link: str, inside: bool) -> None:
    assert stays_inside(path, link) is inside


def test_a_manifest_of_another_schema(tmp_path: Path) -> None:
    root = DirectoryObjects(tmp_path / "root")
    data = canonical_json({"schema": 2, "files": []})
    root.put(checkpoint_key(sha256(data)), data)
    with pytest.raises(IntegrityError, match="schema 2") as caught:
        materialise(root, sha256(data), tmp_path / "copy")
    assert "newer" in caught.value.hint
