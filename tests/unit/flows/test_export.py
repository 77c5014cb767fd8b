"""The tree that a run finds: what the commit's image holds."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from builder.runs.export import export
from builder.settings import ImageSettings
from builder.source.repository import Git

CONTENT = b"large content"
OID = hashlib.sha256(CONTENT).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize {len(CONTENT)}\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "team"
    (root / "bin").mkdir(parents=True)
    (root / "bin/tool").write_text("#!/bin/sh\n")
    (root / "bin/tool").chmod(0o755)
    (root / "link").symlink_to("bin/../nowhere")
    (root / "name with \n newline").write_text("x")
    (root / "notes").write_text("x")
    (root / ".gitattributes").write_text("*.bin filter=lfs\n")
    (root / "model.bin").write_text(POINTER)
    (root / "model.bin").chmod(0o755)
    environ = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(tmp_path)}
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "First"]):
        subprocess.run(["git", *identity, *words], cwd=root, env=environ, check=True, capture_output=True)
    stored = root / ".git/lfs/objects" / OID[:2] / OID[2:4] / OID
    stored.parent.mkdir(parents=True)
    stored.write_bytes(CONTENT)
    return root


def exported(repository: Path, directory: Path, settings: ImageSettings) -> Path:
    with Git.open(repository) as git:
        export(git, git.resolve("HEAD"), settings, directory)
    return directory


def test_files_bits_and_links_are_the_commits(repository: Path, tmp_path: Path) -> None:
    (repository / "notes").write_text("changed since")
    (repository / "untracked").write_text("x")
    found = exported(repository, tmp_path / "code", ImageSettings(exclude=("/.gitattributes",)))
    names = sorted(str(path.relative_to(found)) for path in found.rglob("*"))
    assert names == ["bin", "bin/tool", "link", "model.bin", "name with \n newline", "notes"]
    assert os.access(found / "bin/tool", os.X_OK)
    assert not os.access(found / "notes", os.X_OK)
    assert (found / "link").readlink() == Path("bin/../nowhere")
    assert (found / "notes").read_text() == "x"
    assert (found / "model.bin").read_text() == POINTER


def test_lfs_files_are_content_when_the_settings_say_so(repository: Path, tmp_path: Path) -> None:
    found = exported(repository, tmp_path / "code", ImageSettings(lfs="fetch"))
    assert (found / "model.bin").read_bytes() == CONTENT
    assert os.access(found / "model.bin", os.X_OK)
