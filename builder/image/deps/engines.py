"""Who can build a Dockerfile from here: a remote buildkitd, or the docker command. Each builds, pushes, and returns the pushed digest."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from builder import process
from builder.errors import DepsError, ProcessError, ProgramMissingError
from builder.image.deps.logins import docker_config
from builder.model.oci import is_digest
from builder.model.reference import DOCKER_HUB

_WHERE = (
    "run `builder deps` on a machine with Docker, in CI, or with a remote buildkitd (BUILDKIT_HOST=tcp://host:1234); then it is found here"
)
_ANSWERS_WITHIN = 20.0  # seconds: a daemon that hangs takes the connection and says nothing
_NO_BUILDKIT = "this Docker has no BuildKit: install its buildx component, or a newer Docker; or name a remote buildkitd (BUILDKIT_HOST)"
_HINTS = (
    (
        r"buildx component is missing|buildkit (?:is )?not supported|unknown flag: --(?:progress|load|provenance)|requires BuildKit",
        _NO_BUILDKIT,
    ),
    (r"network bridge not found", "the engine runs without its network `bridge`: start it with one, or build elsewhere (BUILDKIT_HOST)"),
    (
        r"network\.host is not allowed",
        "start buildkitd with --allow-insecure-entitlement network.host, or take network=host out of the build",
    ),
    (r"no space left on device", "make room on the disk of the engine that builds, such as with `docker builder prune`"),
    (
        r"pull access denied|access to the resource is denied|no basic auth credentials|unauthorized: |authorization failed",
        "`docker login` to the registry it names",
    ),
)


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """A Dockerfile and its context on this disk, and the repository to push to. `key` names the build."""

    dockerfile: Path
    context: Path
    args: Mapping[str, str]
    target: str
    platform: str
    repository: str
    key: str


@dataclass(frozen=True, slots=True)
class BuildPlace:
    """Where a Dockerfile is built: the repository as builders push to it (empty: as the store calls itself), and the address of a remote
    buildkitd (empty: the docker command builds).
    """

    repository: str = ""
    buildkit: str = ""


Engine = Callable[[BuildRequest], str]
"""Builds and pushes; returns the digest or the tag in the request's repository under which the image is."""


def choose(place: BuildPlace) -> Engine:
    """The way to build here. Raises DepsError, saying where else it can be done, when there is none."""
    if place.repository.startswith(("oci:", "docker:")):
        hint = "name a registry: --to registry.host/name, or use a lock ([image.deps] lock)"
        raise DepsError(f"a Dockerfile is built into a registry, not into {place.repository}", hint)
    if place.buildkit:
        return partial(build_with_buildctl, address=place.buildkit)
    try:
        process.run(("docker", "version", "--format", "{{.Server.Version}}"), timeout=_ANSWERS_WITHIN)
    except (ProcessError, ProgramMissingError) as error:
        raise DepsError("these dependencies were not built yet, and no Docker engine answers here", _WHERE) from error
    return build_with_docker


def built_tag(key: str) -> str:
    """The tag that a Docker engine pushes to, as it cannot push without one. Nothing that runs reads it."""
    return f"built-{key}"


def build_with_buildctl(request: BuildRequest, address: str) -> str:
    """Builds in a remote buildkitd, which pushes by digest. https://github.com/moby/buildkit#building-a-dockerfile-with-buildctl"""
    options = [f"build-arg:{name}={value}" for name, value in sorted(request.args.items())] + [f"platform={request.platform}"]
    options += [f"target={request.target}"] if request.target else []
    with tempfile.TemporaryDirectory(prefix="builder-deps-") as scratch:
        facts = Path(scratch) / "metadata.json"
        local = (f"context={request.context}", f"dockerfile={request.dockerfile.parent}")
        output = f"type=image,name={request.repository},push=true,push-by-digest=true,oci-mediatypes=true"
        argv = ["buildctl", "--addr", address, "build", "--progress=plain", "--frontend=dockerfile.v0"]
        argv += [f"--local={value}" for value in local] + [f"--opt={value}" for value in options]
        _run([*argv, f"--output={output}", f"--metadata-file={facts}"])
        digest = str(json.loads(facts.read_bytes()).get("containerimage.digest", ""))
    if not is_digest(digest):
        raise DepsError(f"buildctl did not say which digest it pushed to {request.repository}", "a newer buildctl does")
    return digest


def build_with_docker(request: BuildRequest) -> str:
    """Builds in the Docker engine and pushes with its client's credentials, or those of the registry's cloud."""
    name = f"{_as_docker_says(request.repository)}:{built_tag(request.key)}"
    buildx = process.run(("docker", "buildx", "version"), check=False).returncode == 0
    command = ("docker", "buildx", "build", "--load", "--provenance=false") if buildx else ("docker", "build")
    options = [f"--build-arg={key}={value}" for key, value in sorted(request.args.items())] + [f"--platform={request.platform}"]
    options += [f"--target={request.target}"] if request.target else []
    # env(1): the older of these clients builds with BuildKit only when this variable says so.
    argv = ["DOCKER_BUILDKIT=1", *command, "--progress=plain", *options]
    with docker_config([request.repository, request.args.get("BASE", "")]) as words:
        _run(["env", *words, *argv, "--file", str(request.dockerfile), "--tag", name, str(request.context)])
        _run(["env", *words, "docker", "push", name])
    return built_tag(request.key)


def _as_docker_says(repository: str) -> str:
    """The docker command knows its own registry by another name than its API has."""
    return "docker.io" + repository.removeprefix(DOCKER_HUB) if repository.startswith(f"{DOCKER_HUB}/") else repository


def _run(argv: list[str]) -> None:
    try:
        process.run(argv)
    except ProcessError as error:
        tail = "\n".join(error.stderr.strip().splitlines()[-25:])
        raise DepsError(f"the dependencies could not be built:\n{tail}", _hint(tail)) from error
    except ProgramMissingError as error:
        raise DepsError(f"these dependencies were not built yet, and {argv[0]} is not installed here", _WHERE) from error


def _hint(said: str) -> str:
    """What to do about what the engine said last. Mostly it is the Dockerfile."""
    known = (hint for pattern, hint in _HINTS if re.search(pattern, said, re.IGNORECASE))
    return next(known, "correct the Dockerfile; `-v` shows the command")
