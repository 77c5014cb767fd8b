"""Installing a lock's packages into a directory, for the image's Python and not for the one that runs here."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from builder import process
from builder.errors import DepsError, ProcessError
from builder.image.deps.lock import Requirement, to_text
from builder.model.platform import Platform

_PLATFORMS = {"linux/amd64": "x86_64-manylinux_2_28", "linux/arm64": "aarch64-manylinux_2_28"}
"""glibc 2.28 (2018): every NVIDIA PyTorch image since 2021 has a newer one."""


def install(requirements: Iterable[Requirement], python: str, platform: str, directory: Path) -> Path:
    """Installs the wheels into a new directory below `directory` and returns it. Markers are evaluated for `python` and `platform`.

    `python` is such as "3.12". Where the wheels come from is uv's own configuration (the user's, and the environment's); it cannot change
    what is installed, as versions and hashes are fixed. The working directory is an empty one, so that no project's settings get in.
    Raises DepsError when a package has no wheel for that Python and platform, or cannot be had.
    """
    lock, target, nowhere = directory / "lock.txt", directory / "packages", directory / "cwd"
    lock.write_text(to_text(requirements), encoding="utf-8")
    nowhere.mkdir()
    (nowhere / "uv.toml").touch()  # uv looks upwards for a project, and stops here
    target.mkdir()
    try:
        process.run(_command(lock, target, python, platform), cwd=nowhere)
    except ProcessError as error:
        raise _explained(error, python, platform) from error
    return target


def _command(lock: Path, target: Path, python: str, platform: str) -> tuple[str, ...]:
    import uv

    where = ("--target", str(target), "--python", sys.executable, "--python-version", python, "--python-platform", tag(platform))
    exact = ("--only-binary", ":all:", "--no-deps", "--require-hashes", "--no-compile-bytecode", "--link-mode", "hardlink")
    return (uv.find_uv_bin(), "pip", "install", "--quiet", "--no-progress", *where, *exact, "-r", str(lock))


def tag(platform: str) -> str:
    """uv's name of an image platform such as `linux/amd64`."""
    wanted = Platform.parse(platform)
    name = f"{wanted.os}/{wanted.architecture}"
    if name not in _PLATFORMS or wanted.variant not in ("", "v8"):
        raise DepsError(f"a lock cannot be installed for {platform}", f"[image] platform can be {' or '.join(sorted(_PLATFORMS))}")
    return _PLATFORMS[name]


def _explained(error: ProcessError, python: str, platform: str) -> DepsError:
    said = "\n".join(line for line in error.stderr.strip().splitlines() if not line.startswith("warning:"))
    lacks_wheel = "no wheels" in said or "Building source distributions" in said or "no-build" in said
    hint = (
        "a package without a wheel belongs in a Dockerfile ([image.deps] dockerfile)"
        if lacks_wheel
        else "check the lock, and where uv takes packages from (UV_DEFAULT_INDEX, UV_INDEX, or the user's uv.toml)"
    )
    return DepsError(f"the lock cannot be installed for Python {python} on {platform}:\n{said}", hint)
