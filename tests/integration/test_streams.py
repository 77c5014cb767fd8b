"""The whole program with closed, full and broken streams, in other locales, and interrupted while it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home  # noqa: F401

BUILDER = f"{sys.executable} -m builder"


def shell(script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The script in bash, `builder` being this program."""
    command = f'set -o pipefail; builder() {{ {BUILDER} "$@"; }}; {script}'
    environment = {**os.environ, **environ}
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment, check=False)


@pytest.fixture
def here(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Repository:
    repository.history({"builder.toml": b'[image]\nbase = "scratch"\n', "a": b"a"}, {"b": b"b"}, {"c": b"c"})
    repository.check_out()
    monkeypatch.chdir(repository.directory)
    return repository


@pytest.mark.parametrize("command", ["builder image -o json", "builder --help", "builder image --help", "builder --version"])
@pytest.mark.parametrize(("where", "why"), [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")])
def test_a_result_that_cannot_be_printed(here: Repository, command: str, where: str, why: str) -> None:
    done = shell(f"{command} {where}")
    assert done.returncode == 1
    assert f"error: cannot write to stdout: {why}\n" in done.stderr
    assert "internal" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full", "<&-"])
def test_nobody_needs_the_other_streams(here: Repository, where: str) -> None:
    done = shell(f"builder image -o name {where}")
    assert done.returncode == 0
    assert "@sha256:" in done.stdout


@pytest.mark.parametrize(
    "command", ["builder image --missing -o name", "builder image -o json", "builder image --help", "builder --version"]
)
def test_a_reader_that_goes_away_is_no_error(here: Repository, command: str) -> None:
    done = shell(f"(sleep 0.1; {command}) | true")
    assert done.returncode == 141
    assert "rror" not in done.stderr


def test_a_locale_that_is_not_utf_8(tmp_path: Path, here: Repository) -> None:
    other = tmp_path / "p\xe9"
    here.directory.rename(other)
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = shell(f"cd '{other}' && builder image --dirty -o name", **ascii_only)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"oci:{other}/.builder/images@sha256:")


@pytest.mark.parametrize("module", ["builder.cli.frame", "click"])
def test_an_interruption_while_modules_are_imported(module: str) -> None:
    script = f"""
import sys, os, signal
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from builder.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
