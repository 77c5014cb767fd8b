"""One command of the team's in a container of an image: nothing is mounted, and nothing stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any

from builder.errors import LaunchError
from builder.runs.docker import engine
from builder.settings import DockerSettings

_NOT_FOUND = (126, 127)
"""What shells say of a command that is not there, and an engine where it finds none."""


def run_command(
    image: str, words: Sequence[str], docker: DockerSettings, environ: Mapping[str, str], tell: Callable[[bytes], object]
) -> int:
    """Its exit code. The image, which the engine has, says environment and working directory; `tell` gets what the command writes.

    Raises LaunchError when no container can be started.
    """
    from docker.errors import APIError, DockerException

    with engine() as client:
        container = client.containers.create(image, **_asked(words, docker, environ))
        try:
            try:
                container.start()
            except APIError as error:
                raise LaunchError(f"{words[0]} does not start in {image}: {error.explanation or error}", "is it in the image?") from error
            with closing(container.logs(stream=True, follow=True)) as output:
                for piece in output:
                    tell(piece)
            return int(container.wait()["StatusCode"])
        finally:
            with suppress(DockerException, OSError):
                container.remove(force=True)


def _asked(words: Sequence[str], docker: DockerSettings, environ: Mapping[str, str]) -> dict[str, Any]:
    """What [run.docker] says of every container."""
    from docker.types import DeviceRequest

    asked: dict[str, Any] = {
        "entrypoint": list(words),
        "init": True,
        "environment": {name: environ[name] for name in docker.env if name in environ},
        "labels": {"builder/test": "true"},
        "network_mode": docker.network or None,
        "shm_size": docker.shared_memory or None,
    }
    if docker.gpus:
        asked["device_requests"] = [DeviceRequest(count=-1 if docker.gpus == "all" else int(docker.gpus), capabilities=[["gpu"]])]
    return {name: value for name, value in asked.items() if value is not None}


def explain(words: Sequence[str], code: int, image: str) -> LaunchError:
    """A command that ended badly."""
    look = f"to look inside: docker run -it --entrypoint sh {image}"
    hint = "is it in the image? [image.deps] adds packages" if code in _NOT_FOUND else look
    return LaunchError(f"{words[0]} ended with {code} in {image}", hint, f"exit:{code}")
