"""`builder base`, as it is typed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.cache import blob_cache
from builder.cli.frame import run
from builder.model.oci import Manifest
from builder.stores.layout import LayoutStore
from tests.fixtures.images import put_base, tar

SETTINGS = '[image]\nbase = "oci:bases:24.05"  # ours\n\n[store]\nto = "oci:images"\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A builder.toml with a base in an `oci:` directory next to it; returns the base's digest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("builder.toml").write_text(SETTINGS)
    return put_base(LayoutStore(tmp_path / "bases"), tar({"usr/bin/python3": "python3.11"}), tag="24.05")


def test_pin_writes_digest_and_python(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["base", "pin"]) == 0
    assert Path("builder.toml").read_text().startswith(f'[image]\nbase = "oci:bases@{project}"  # ours\npython = "3.11"\n')
    out, err = capsys.readouterr()
    assert out == f"oci:bases@{project}\n"
    assert "Python 3.11, from /usr/bin/python3 in layer" in err
    assert run(["base", "pin"]) == 0
    out, err = capsys.readouterr()
    assert out == f"oci:bases@{project}\n"
    assert "nothing to do" in err


def test_what_pin_has_read_the_other_commands_do_not_read_again(project: str, tmp_path: Path) -> None:
    assert run(["base", "pin"]) == 0
    kept = blob_cache(os.environ)
    manifest = LayoutStore(tmp_path / "bases").get_manifest(project)
    assert manifest is not None
    assert kept.get(Manifest.from_bytes(manifest.data).config.digest) is not None


def test_pin_from_a_directory_below(project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("src").mkdir()
    monkeypatch.chdir(tmp_path / "src")
    assert run(["base", "pin", "oci:../bases"]) == 0
    assert f'base = "oci:bases@{project}"' in (tmp_path / "builder.toml").read_text()


def test_pin_without_a_file_names_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["base", "pin", "scratch"]) == 2
    assert "builder init" in capsys.readouterr().err


def test_pin_scratch(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["base", "pin", "scratch"]) == 0
    assert 'base = "scratch"' in Path("builder.toml").read_text()
    assert "Python" not in capsys.readouterr().err
    assert run(["base", "pin", "scratch"]) == 0
    assert "nothing to do" in capsys.readouterr().err


def test_a_base_without_python_says_so(project: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_base(LayoutStore(tmp_path / "bare"), tar({"etc/x": b""}))
    assert run(["base", "pin", "oci:bare"]) == 0
    assert "set [image] python" in capsys.readouterr().err


def test_mirror_says_what_it_would_do_then_does_it_then_nothing(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["base", "mirror", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert out == f"oci:{Path.cwd()}/images@{project}\n"
    assert "1 layer" in err
    assert "lacks 2 blobs" in err
    assert "next: builder base mirror" in err
    assert not Path("images").exists()
    assert run(["base", "mirror"]) == 0
    assert "copied 2 blobs" in capsys.readouterr().err
    assert LayoutStore(Path("images")).list_tags() == (f"base-{project[7:19]}",)
    assert run(["base", "mirror"]) == 0
    assert "nothing to do" in capsys.readouterr().err


def test_mirror_into_a_daemon_names_docker_pull(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["base", "mirror", "--to", "docker:"]) == 2
    assert "docker pull" in capsys.readouterr().err


def test_mirror_a_name_that_is_not_there(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["base", "mirror", "--from", "oci:bases:nope"]) == 1
    assert "has no nope" in capsys.readouterr().err
