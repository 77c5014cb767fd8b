"""Executes a request in a container of the commit's image: Metaflow's local runner, on the tool that the image holds.

One container for the whole run, with the same mounts as paths on this machine: what the steps write is where a run without Docker has it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from builder.data.s3_environment import s3_environment
from builder.deploy.isolate import TOOL_PATH, for_built_in
from builder.errors import LaunchError
from builder.model.progress import Progress
from builder.model.run import RunResult
from builder.runs.execute import Execution
from builder.runs.local import FLOW_LOG, flow_command, metaflow_settings
from builder.runs.own import RUN_ID, STORE, Copy, own_command, own_environment
from builder.runs.supervise import Tell, Watched, supervise
from builder.settings import ExternalSettings
from builder.steps.request import Request

FLOWS = f"{TOOL_PATH}/builder/_data/workflows"
"""Where the tool's layers have the built-in flows."""

_RESTORE = f"(cd / && PYTHONPATH={TOOL_PATH} PYTHONNOUSERSITE=1 python -m builder.steps.restore)"
"""Before a team's own flow, on the tool's path alone: it knows nothing of what its commit has lost."""

_GONE = "start Docker, or set DOCKER_HOST; `builder doctor` shows what is there"
_HERE = ("", "localhost", "127.0.0.1", "::1")


def run_in_docker(execution: Execution, environ: Mapping[str, str], tell: Tell) -> RunResult:
    """Executes the flow to its end. The image must be there (`bring_image`). Raises LaunchError when no container can be started."""
    request = execution.request
    for path in (*_mounts(execution), _home(request), str(execution.metaflow / "home")):
        Path(path).mkdir(parents=True, exist_ok=True)
    output = Path(request.place.output)
    watched = Watched(request, output / FLOW_LOG, tell)
    if request.settings.file:
        watched = replace(watched, copy=Copy(request, execution.metaflow / STORE, output / RUN_ID))
    with engine() as client:
        return supervise(watched, lambda: Container(client, container_of(execution, client.info(), environ), watched.log))


def bring_image(image: str, progress: Progress) -> None:
    """Pulls the image, named by digest or id, unless the engine has it; with the credentials that `docker login` left, or those that the
    registry's cloud gives this machine."""
    from docker.errors import ImageNotFound

    with engine() as client:
        with suppress(ImageNotFound):
            client.images.get(image)
            return
        name, _, digest = image.partition("@")
        if not digest:
            raise LaunchError(f"the Docker engine has no image {image}", "somebody removed it: builder image --to docker: makes it again")
        with progress.task(f"pulling {name}", unit="bytes") as advance:
            done: dict[str, int] = {}
            for line in client.api.pull(name, tag=digest, stream=True, decode=True, auth_config=_credential(name)):
                if "error" in line:
                    raise LaunchError(f"the Docker engine cannot pull {image}: {line['error']}", f"docker pull {image}")
                advance(_received(line, done))


def _credential(repository: str) -> dict[str, str] | None:
    """None leaves it to Docker's own configuration."""
    from builder.stores.registry.credentials import given_credential

    found = given_credential(repository.partition("/")[0])
    return {"username": found.username, "password": found.password} if found else None


def _received(line: Mapping[str, Any], done: dict[str, int]) -> int:
    """How many bytes of a layer came since its line before."""
    if line.get("status") != "Downloading":
        return 0
    layer, current = str(line.get("id")), int(line.get("progressDetail", {}).get("current") or 0)
    before, done[layer] = done.get(layer, 0), current
    return max(0, current - before)


@contextmanager
def engine() -> Iterator[Any]:
    """The engine of DOCKER_HOST, or the local one. What goes wrong with it becomes LaunchError."""
    from docker import from_env
    from docker.errors import APIError, DockerException

    place = urlsplit(os.environ.get("DOCKER_HOST", ""))
    if place.scheme in ("tcp", "ssh", "http", "https") and (place.hostname or "") not in _HERE:
        raise LaunchError(f"the Docker engine of DOCKER_HOST is on {place.hostname}: runs need directories of this machine", "run it there")
    client = None
    try:
        client = from_env(version="auto")
        yield client
    except APIError as error:
        raise LaunchError(f"the Docker engine refuses: {error.explanation or error}") from error
    except (DockerException, OSError) as error:
        raise LaunchError(f"cannot talk to the Docker engine: {error}", _GONE) from error
    finally:
        if client is not None:
            client.close()


def container_of(execution: Execution, info: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """What the engine, of which `info` tells, is asked for. The image's own entry point takes no part."""
    from docker.types import DeviceRequest, Mount

    request, docker = execution.request, execution.docker
    security = info.get("SecurityOptions") or ()
    arguments: dict[str, Any] = {
        "image": execution.image,
        "name": request.run,
        "entrypoint": [*_as_person(security), *_command(execution)],
        "user": "0:0",
        "init": True,
        "environment": environment(execution, environ),
        "working_dir": request.place.workdir if request.settings.file else request.place.output,
        "mounts": [Mount(path, path, type="bind") for path in _mounts(execution)],
        "labels": {"builder/run": request.run, "builder/flow": request.flow, "builder/commit": request.commit},
        "healthcheck": {"test": ["NONE"]},
        "network_mode": docker.network or None,
        "shm_size": docker.shared_memory or None,
        # else the files would be of a user that this machine does not know
        "userns_mode": "host" if any("name=userns" in option for option in security) else None,
    }
    if docker.gpus:
        arguments["device_requests"] = [DeviceRequest(count=-1 if docker.gpus == "all" else int(docker.gpus), capabilities=[["gpu"]])]
    return {name: value for name, value in arguments.items() if value is not None}


def _command(execution: Execution) -> list[str]:
    request = execution.request
    if request.settings.file:
        own = own_command(request, "python", Path(request.place.output) / RUN_ID)
        return ["sh", "-c", f'{_RESTORE} && exec "$@"', "sh", *own] if request.restore else own
    return flow_command(request, f"{FLOWS}/{Path(execution.flow).name}", "python")


def _as_person(options: Sequence[str]) -> list[str]:
    """The words before the command that make files the person's. The commit's tree in the image is root's, and commands write into it
    as they do elsewhere: hence the one capability. In an engine without root, the container's root is the person already.
    """
    user, group = os.getuid(), os.getgid()
    if user == 0 or any("name=rootless" in option for option in options):
        return []
    capability = "+dac_override"
    words = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", f"--inh-caps={capability}", f"--ambient-caps={capability}"]
    return [*words, "--"]


def environment(execution: Execution, environ: Mapping[str, str]) -> dict[str, str | None]:
    """What stands above the image's own variables: the flow's path, a home that is the run's, and what of this shell goes along."""
    request = execution.request
    person = environ.get("USER") or "builder"  # its number has no name in the image
    own = {"HOME": _home(request), "USER": person, "LOGNAME": person, **metaflow_settings(request, execution.metaflow)}
    told = {"BUILDER_REQUEST": request.pack(), "BUILDER_RUN": request.run} if request.settings.file and request.restore else {}
    return {**_path(request), **_given(execution, environ), **own, **told}


def _path(request: Request) -> dict[str, str | None]:
    """A built-in flow runs on the tool's path alone: what the image sets of Python and Metaflow is for the team's commands, which get it
    from the request, and None takes it away here.
    """
    if not request.settings.file:
        return {**dict.fromkeys(request.place.env), **for_built_in(_home(request)).env}
    return {name: value for name, value in own_environment(request, (TOOL_PATH,), {}).items() if name != "PATH"}


def _given(execution: Execution, environ: Mapping[str, str]) -> dict[str, str]:
    request = execution.request
    partners = (found.key_env for found in request.settings.evals.values() if isinstance(found, ExternalSettings))
    named = {request.notify.webhook_env, request.notify.token_env, *partners, *request.slurm_keys, *execution.docker.env}
    given = {name: value for name, value in environ.items() if name in named or name.startswith("MLFLOW_TRACKING_")}
    return {**given, **s3_environment(environ)} if "://" in request.data.root else given


def _home(request: Request) -> str:
    return f"{request.place.output}/home"


def _mounts(execution: Execution) -> list[str]:
    """The run's own directory, Metaflow's, and the data root and the archive if they are directories."""
    request = execution.request
    data = {place: None for place in (request.data.root, request.data.archive) if place and "://" not in place}
    return [request.place.output, str(execution.metaflow), *data]


class Container:
    """A container that runs the flow. Its output goes to `log`."""

    def __init__(self, client: Any, arguments: Mapping[str, Any], log: Path) -> None:
        self._container = client.containers.create(**arguments)
        self._code: int | None = None
        self._error: Exception | None = None
        try:
            self._container.start()
        except BaseException as error:
            self._container.remove(force=True)
            raise _not_started(arguments["name"], error) from error
        self._watching = threading.Thread(target=self._watch, args=(log,), daemon=True)
        self._watching.start()

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"container": self._container.id}

    def poll(self) -> int | None:
        if self._watching.is_alive():
            return None
        if self._error is not None:
            raise LaunchError(f"the Docker engine lost container {self._container.name}: {self._error}", _GONE) from self._error
        return self._code

    def end(self) -> None:
        from docker.errors import DockerException

        with suppress(DockerException, OSError):
            self._container.remove(force=True)
        self._watching.join(10)

    def _watch(self, log: Path) -> None:
        from docker.errors import DockerException

        try:
            with closing(self._container.logs(stream=True, follow=True)) as output, log.open("wb", buffering=0) as file:
                for piece in output:
                    file.write(piece)
            self._code = int(self._container.wait()["StatusCode"])
        except (DockerException, OSError) as error:
            self._error = error


def _not_started(name: str, error: BaseException) -> BaseException:
    from docker.errors import APIError

    said = str(error.explanation or error) if isinstance(error, APIError) else ""
    for program, why in (("setpriv", "gives files to you instead of root"), ("python", "runs the flow")):
        if f'"{program}"' in said and "not found" in said:
            return LaunchError(f"{name}: the image has no {program}, which {why}", "take a base that has it, or --on local")
    return error


def remove_container(run: str, container: str) -> bool:
    """Ends the container of a run that nobody looks after any more. False when there is none."""
    from docker.errors import NotFound

    with engine() as client:
        try:
            found = client.containers.get(container)
        except NotFound:
            return False
        if found.labels.get("builder/run") != run:
            return False
        found.remove(force=True)
        return True


def container_runs(container: str) -> bool:
    """Whether the container goes on. Where the engine cannot be asked, none does."""
    from docker.errors import NotFound

    try:
        with engine() as client:
            return str(client.containers.get(container).status) in ("created", "running", "paused", "restarting")
    except (LaunchError, NotFound):
        return False
