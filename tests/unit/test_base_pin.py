"""Pinning: what ends up in builder.toml, and that everything else in it stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.cache import Cache
from builder.errors import SettingsError
from builder.image.base_pin import pin, write_pin
from builder.settings import load
from builder.stores.layout import LayoutStore
from tests.fixtures.images import put_base, tar

REFERENCE = "registry.test/base@sha256:" + "a" * 64

COMMENTED = """\
# Our images.
[image]
base = "registry.test/base:24.05"  # asked for by Ann
workdir = "/code"

# Where they go.
[store]
to = "registry.test/app"
"""


def test_a_tag_becomes_a_digest_and_a_python(tmp_path: Path) -> None:
    store = LayoutStore(tmp_path / "images")
    digest = put_base(store, tar({"usr/bin/python3": "python3.11"}), tar({"etc/x": b""}), tag="24.05")
    pinned = pin(f"{store.name}:24.05", store, Cache(tmp_path / "cache"))
    assert (pinned.base.reference, pinned.base.python, pinned.tag) == (f"{store.name}@{digest}", "3.11", "24.05")
    again = pin(pinned.base.reference, store, Cache(tmp_path / "cache"))
    assert (again.base, again.tag) == (pinned.base, "")


def test_scratch_is_pinned_as_it_is(tmp_path: Path) -> None:
    pinned = pin("scratch", LayoutStore(tmp_path), Cache(tmp_path))
    assert (pinned.base.reference, pinned.base.python) == ("scratch", "")


def test_everything_else_stays(tmp_path: Path) -> None:
    file = tmp_path / "builder.toml"
    file.write_text(COMMENTED)
    file.chmod(0o640)
    assert write_pin(file, REFERENCE, "3.11", "24.05") is True
    expected = COMMENTED.replace("registry.test/base:24.05", REFERENCE).replace("by Ann\n", 'by Ann\npython = "3.11"\n')
    assert file.read_text() == expected
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["builder.toml"]


PROPOSED = """\
[image]
# The image below everything
# base = ""
pythonpath = ["."]

# Packages
# [image.deps]
# lock = "requirements.lock"

[store]
"""


@pytest.mark.parametrize("text", [PROPOSED, PROPOSED.replace('# base = ""\n', ""), PROPOSED.replace("[store]\n", "")])
def test_what_is_commented_out_can_be_taken_in_afterwards(tmp_path: Path, text: str) -> None:
    """A new key went to the end of [image], below the commented `# [image.deps]`."""
    file = tmp_path / "builder.toml"
    file.write_text(text)
    assert write_pin(file, REFERENCE, "3.11", "24.05") is True
    pinned = f'base = "{REFERENCE}"  # tag 24.05\npython = "3.11"\n'
    assert pinned in file.read_text()
    if '# base = ""' in text:
        assert file.read_text() == text.replace('# base = ""\n', pinned)
    file.write_text(file.read_text().replace("# [image.deps]\n# lock", "[image.deps]\nlock"))
    loaded = load(tmp_path, {}).image
    assert (loaded.base, loaded.python) == (REFERENCE, "3.11")
    assert loaded.deps is not None


def test_a_table_in_a_text_is_no_table(tmp_path: Path) -> None:
    text = '[image.env]\nA = """\n[image]\n# base = 1\n"""\n'
    file = tmp_path / "builder.toml"
    file.write_text(text)
    write_pin(file, REFERENCE, "3.11")
    loaded = load(tmp_path, {}).image
    assert (loaded.base, loaded.python, loaded.env) == (REFERENCE, "3.11", {"A": "[image]\n# base = 1\n"})


def test_the_second_time_nothing_is_written(tmp_path: Path) -> None:
    file = tmp_path / "builder.toml"
    file.write_text(COMMENTED)
    write_pin(file, REFERENCE, "3.11")
    before = file.stat().st_mtime_ns, file.stat().st_ino
    assert write_pin(file, REFERENCE, "3.11", "24.05") is False
    assert write_pin(file, REFERENCE, "") is False
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == before


def test_the_tag_is_a_comment_that_follows_the_digest(tmp_path: Path) -> None:
    file = tmp_path / "builder.toml"
    file.write_text("")
    write_pin(file, REFERENCE, "", "24.05")
    assert f'base = "{REFERENCE}"  # tag 24.05\n' in file.read_text()
    write_pin(file, REFERENCE.replace("a" * 64, "b" * 64), "", "24.06")
    assert "# tag 24.06" in file.read_text()
    write_pin(file, REFERENCE, "")
    assert "#" not in file.read_text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n# nothing yet\n",
        "[store]\nto = 'oci:x'\n",
        "[image]",
        "[image]\n\n\n[store]\nto = 'oci:x'\n",
        "[image]\nbase = 'scratch'\r\npython = '3.9'\r\n",
        "image = { base = 'scratch' }\n",
        "image.base = 'scratch'\n",
        "[image.env]\nA = 'b'\n[image]\nworkdir = '/w'\n",
        "[image.env]\nA = 'b'\n[store]\nto = 'oci:x'\n[image.deps]\nlock = 'l'\n",
    ],
)
def test_any_shape_of_builder_toml(tmp_path: Path, text: str) -> None:
    file = tmp_path / "builder.toml"
    file.write_bytes(text.encode())
    before = load(tmp_path, {})
    assert write_pin(file, REFERENCE, "3.11", "24.05") is True
    after = load(tmp_path, {})
    assert (after.image.base, after.image.python) == (REFERENCE, "3.11")
    assert (after.image.env, after.image.deps, after.store) == (before.image.env, before.image.deps, before.store)
    assert write_pin(file, REFERENCE, "3.11", "24.05") is False


@pytest.mark.parametrize(
    "text",
    [
        "[tool.builder.image]\nbase = 'scratch'\n",
        "[project]\nname = 'x'\n[tool.ruff]\nline-length = 9\n[tool.builder.image]\nworkdir = '/w'\n[tool.mypy]\nstrict = true\n",
        "[tool.builder]\n[tool.ruff]\nx = 1\n",
        "[tool.builder.store]\nto = 'oci:x'\n[project]\nname = 'x'\n[tool.other]\ny = 2\n",
    ],
)
def test_pyproject_too(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(text)
    write_pin(file, REFERENCE, "3.11", "24.05")
    after = load(tmp_path, {})
    assert (after.image.base, after.image.python) == (REFERENCE, "3.11")
    kept = [line for line in text.splitlines() if not line.startswith(("base", "["))]
    assert all(line in file.read_text() for line in kept)


@pytest.mark.parametrize("data", [b"[image", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_a_broken_file_is_left_alone(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "builder.toml"
    file.write_bytes(data)
    with pytest.raises(SettingsError, match=r"builder\.toml"):
        write_pin(file, REFERENCE, "3.11")
    assert file.read_bytes() == data
