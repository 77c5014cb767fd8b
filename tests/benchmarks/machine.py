"""What the figures were measured on: no names, no paths."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_BUILDKIT = Path(__file__).parents[1] / "services/tools/buildkit/go.mod"
"""A buildkitd that is built from its module does not know its version."""


def describe(env: Mapping[str, str]) -> list[str]:
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    processor = f" ({model[1].strip()})" if model else ""
    return [
        f"{os.cpu_count()} cores{processor}, {gigabytes:.0f} GB memory, Linux {platform.release().partition('-')[0]}",
        ", ".join(_versions(env)),
    ]


def load() -> str:
    """The load average when the run began: above 0.5 the machine had other work."""
    return f"load average at the start: {os.getloadavg()[0]:.1f}"


def _versions(env: Mapping[str, str]) -> Iterator[str]:
    yield f"Python {platform.python_version()}"
    docker = ["docker", "--host", env["BUILDER_TEST_DOCKER_HOST"]] if env.get("BUILDER_TEST_DOCKER_HOST") else []
    if docker:
        docker[0] = env.get("BUILDER_TEST_DOCKER", "docker")
    commands: dict[str, Sequence[str]] = {
        "git": ["git", "--version"],
        "Docker engine": [*docker, "version", "--format", "{{.Server.Version}}"] if docker else [],
        "BuildKit": ["cat", str(_BUILDKIT)] if env.get("BUILDER_TEST_BUILDKIT_HOST") else [],
        "crane": [env["BUILDER_TEST_CRANE"], "version"] if env.get("BUILDER_TEST_CRANE") else [],
        "docker-registry": ["docker-registry", "--version"],
    }
    for name, argv in commands.items():
        if argv and (version := _version(argv)):
            yield f"{name} {version}"


def _version(argv: Sequence[str]) -> str:
    with contextlib.suppress(OSError):
        said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
        after = said.partition("moby/buildkit v")[2] or said.partition("docker/distribution")[2] or said
        if found := re.search(r"\d+\.\d+(\.\d+)?", after):
            return found[0]
    return ""
