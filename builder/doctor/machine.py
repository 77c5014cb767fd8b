"""Programs and disk."""

from __future__ import annotations

import re
import shutil
import socket
import sys
from pathlib import Path

from builder.doctor.scene import Found, Scene, failed, not_needed, ok
from builder.errors import ProgramMissingError
from builder.process import run

_GIT = (2, 31)  # `rev-parse --path-format`
_ROOM = 1_000_000_000


def git(_: Scene) -> Found:
    try:
        said = run(["git", "version"]).text.strip()
    except ProgramMissingError:
        return failed("not installed", "install git (Debian: apt-get install git)")
    number = re.search(r"(\d+)\.(\d+)", said)
    if number is None or (int(number[1]), int(number[2])) < _GIT:
        return failed(said, f"install git {_GIT[0]}.{_GIT[1]} or newer")
    return ok(said)


def git_lfs(scene: Scene) -> Found:
    uses = run(["git", "grep", "-l", "filter=lfs", "--", "*.gitattributes"], cwd=scene.start, check=False).returncode == 0
    if not uses:
        return not_needed("the repository does not use Git LFS")
    if run(["git", "lfs", "version"], check=False).returncode == 0:
        return ok("installed")
    remedy = "install git-lfs (Debian: apt-get install git-lfs)"
    if scene.settings.image.lfs == "pointers":
        return not_needed('not installed; not needed while image.lfs = "pointers"')
    return failed('not installed, and image.lfs = "fetch"', remedy)


def docker(scene: Scene) -> Found:
    """Needed by the Docker store, by runs in Docker, and by a Dockerfile that no remote buildkitd builds."""
    deps, builds = scene.settings.image.deps, False
    if deps is not None and deps.dockerfile:
        builds = "BUILDKIT_HOST" not in scene.environ
    needed = builds or scene.settings.store.target.startswith("docker:") or scene.settings.run.on == "docker"
    version = _engine(scene.environ.get("DOCKER_HOST", ""))
    if version and builds and not shutil.which("docker"):
        return failed(f"engine {version}, but no docker command", "install the docker command line with buildx, or set BUILDKIT_HOST")
    if version:
        return ok(f"engine {version}")
    if needed:
        return failed("no engine answers", "start Docker, or set DOCKER_HOST; images and lock dependencies need none")
    return not_needed("no engine answers; of what is set here only `builder test` ([ci] test) needs one")


def _engine(host: str) -> str:
    """The engine's version, empty when none answers."""
    local = host.startswith("unix://") or not host
    if local and not _listens(host.removeprefix("unix://") or "/var/run/docker.sock"):
        return ""
    import docker as sdk
    import requests
    from docker.errors import DockerException

    try:
        client = sdk.from_env(timeout=5)
        try:
            return str(client.version()["Version"])
        finally:
            client.close()
    except (DockerException, requests.exceptions.RequestException, OSError):
        return ""


def _listens(path: str) -> bool:
    """Asked before the SDK: that is slow to import, and leaves its socket open when nobody answers."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        return probe.connect_ex(path) == 0


def uv(scene: Scene) -> Found:
    deps = scene.settings.image.deps
    try:
        import uv as package

        program = package.find_uv_bin()
    except (ImportError, FileNotFoundError):
        if deps is None or not deps.lock:
            return not_needed("not installed; only lock dependencies need it")
        return failed("not installed", "install builder again: uv comes with it")
    return ok(run([program, "--version"]).text.strip())


def disk(scene: Scene) -> Found:
    free = shutil.disk_usage(existing(scene.settings.root)).free
    detail = f"{free / 1e9:.1f} GB free at {scene.settings.root}"
    return ok(detail) if free >= _ROOM else failed(detail, "make room: at least 1 GB")


def python(_: Scene) -> Found:
    return ok(f"Python {sys.version.split()[0]} at {sys.prefix}")


def existing(path: Path) -> Path:
    """The path itself, or the nearest directory above it that is there."""
    return next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
