"""Programs that cannot be started: an error of ours, whatever the system says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from builder import process
from builder.errors import ProcessError, ProgramMissingError

STARTS: list[Callable[..., object]] = [process.run, process.start]


@pytest.mark.parametrize("start", STARTS)
def test_a_program_that_is_not_there(start: Callable[..., object]) -> None:
    with pytest.raises(ProgramMissingError, match="no-such-program is not installed"):
        start(["no-such-program"])


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_directory_that_is_none(start: Callable[..., object], name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProgramMissingError, match=f"there is no directory .*{name}"):
        start([sys.executable, "-V"], cwd=tmp_path / name)


@pytest.mark.parametrize("start", STARTS)
def test_more_arguments_than_the_system_takes(start: Callable[..., object]) -> None:
    with pytest.raises(ProgramMissingError, match="cannot start: Argument list too long"):
        start([sys.executable, "-V", "x" * 10_000_000])


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(("mode", "said"), [(0o644, "Permission denied"), (0o755, "Exec format error")])
def test_a_file_that_is_no_program(start: Callable[..., object], mode: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "tool").write_bytes(b"\x00\x01 no program\n")
    (tmp_path / "tool").chmod(mode)
    with pytest.raises(ProgramMissingError, match=said):
        start([str(tmp_path / "tool")])


def test_a_program_that_ends_badly_says_what_it_said() -> None:
    with pytest.raises(ProcessError, match=r"exit code 3.*\nalas"):
        process.run([sys.executable, "-c", "import sys; sys.exit(print('alas', file=sys.stderr) or 3)"])
