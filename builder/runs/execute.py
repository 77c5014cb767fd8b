"""A request that is made ready to be executed by this machine, in processes or in a container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builder.launch.behind import tool_path
from builder.model.run import RunResult
from builder.runs.child_here import Children
from builder.runs.places import Directories
from builder.runs.supervise import Tell
from builder.settings import DockerSettings
from builder.steps.request import Request


@dataclass(frozen=True, slots=True)
class Execution:
    """`flow` is the built-in flow's Metaflow file, empty for a team's own; `state` this machine's `.builder`; `repository` where
    `builder run` was typed; `image` what Docker calls the image.
    """

    request: Request
    flow: str
    state: str
    repository: str
    image: str = ""
    docker: DockerSettings = field(default_factory=DockerSettings)

    @property
    def metaflow(self) -> Path:
        """The directory that keeps Metaflow's own files."""
        return Path(self.state) / "metaflow"


def execute(execution: Execution, environ: Mapping[str, str], tell: Tell) -> RunResult:
    """Executes the flow to its end. Starts what it asks for, and what comes after it. A flow that fails is a result, too."""
    request = execution.request
    children = Children(request, Path(execution.repository), Directories(Path(execution.state)), environ)
    result = _executed(execution, environ, children.watching(tell))
    children.follow(result)
    return result


def _executed(execution: Execution, environ: Mapping[str, str], tell: Tell) -> RunResult:
    request = execution.request
    if request.on == "docker":
        from builder.runs.docker import run_in_docker

        return run_in_docker(execution, environ, tell)
    if request.settings.file:
        from builder.runs.own import run_own_here

        return run_own_here(request, tool_path(), execution.metaflow, environ, tell)
    from builder.runs.local import run_here

    return run_here(request, Path(execution.flow), execution.metaflow, environ, tell)
