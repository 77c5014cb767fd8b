"""Folders that several people's jobs share, made in the same moment by any of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from builder.launch.slurm.folders import SHARED

SHELLS = ["sh", "bash"]


def shared(shell: str, folder: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([shell, "-c", f'{SHARED}\numask 077\n{before}\nshared "$1"', "-", str(folder)], capture_output=True, text=True)


def mode_of(folder: Path) -> int:
    return folder.stat().st_mode & 0o7777


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("mode", [0o755, 0o700, 0o770, 0o1777, 0o2775])
def test_it_is_as_open_as_what_it_is_in(shell: str, mode: int, tmp_path: Path) -> None:
    root = tmp_path / "the root"
    root.mkdir()
    root.chmod(mode)
    for folder in (root / "code", root / "code/layers"):
        done = shared(shell, folder)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert mode_of(folder) == mode
    assert shared(shell, root / "code").returncode == 0


@pytest.mark.parametrize("shell", SHELLS)
def test_who_comes_in_the_moment_that_it_is_made_may_write(shell: str, tmp_path: Path) -> None:
    """Before anything else is done to it."""
    tmp_path.chmod(0o1777)
    assert shared(shell, tmp_path / "code", before="chmod() { :; }").returncode == 0
    assert mode_of(tmp_path / "code") & 0o777 == 0o777


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_above_is_made(shell: str, tmp_path: Path) -> None:
    assert shared(shell, tmp_path / "root/code").returncode == 0
    assert mode_of(tmp_path / "root/code") == mode_of(tmp_path / "root") == 0o700


@pytest.mark.parametrize("shell", SHELLS)
def test_where_it_cannot_be_made_it_says_why(shell: str, tmp_path: Path) -> None:
    (tmp_path / "code").write_text("a file")
    done = shared(shell, tmp_path / "code")
    assert done.returncode == 1
    assert "File exists" in done.stderr
