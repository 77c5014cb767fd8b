"""A step of a team's own flow in a pod: as its decorators say, on the team's path; and first it is written down that it begins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from builder.deploy import pods
from builder.deploy.isolate import TOOL_PATH, isolated
from builder.errors import DeployError
from builder.steps import contract
from builder.steps.request import Request

if TYPE_CHECKING:
    from builder.deploy.render import Release


def refuse_gang(template: Mapping[str, Any]) -> None:
    """Raises DeployError for a step whose pods are another object of the cluster, which nobody here isolates or pins."""
    if "resource" in template:
        raise DeployError(f"step {template['name']} is @parallel, which needs JobSets", "one pod a step, or foreach, is possible for now")


_END = "exit $c"
"""How Metaflow ends the shell of a step (plugins/argo/argo_workflows.py): `c` is the step's exit code."""


def own_step(template: Mapping[str, Any], release: Release) -> dict[str, Any]:
    """The template of a step, isolated. What `[launch.STEP]` says wins over the decorators, these over `[launch.default]`."""
    from builder.deploy.exit_handler import told
    from builder.deploy.render import with_secret

    step = template["name"].replace("-", "_")  # Argo's names have no underscores, Metaflow's no hyphens
    noted = {**template, "container": _noting(template["container"], step, told(release), release.request)}
    around = isolated(noted, release.around)
    launch = release.request.launch
    asked = pods.with_pod(around, launch[step].pod) if step in launch else pods.with_defaults(around, release.request.launching(step).pod)
    return with_secret(asked, release.request.notify.secret)


def _noting(container: Mapping[str, Any], step: str, told: Mapping[str, str], request: Request) -> dict[str, Any]:
    """The container's shell first starts the tool, on the tool's path: whatever becomes of that, the step goes on, without the secrets
    that are for messages only; but not when files that the commit has lost cannot be restored. When the step has ended well the tool
    starts what it asked for: what cannot be started fails the step.
    """
    shell, option, text = container["command"]
    if (shell, option) != ("bash", "-c") or not text.endswith(f"; {_END}"):
        raise DeployError(
            f"step {step} does not start a shell that ends with `{_END}`", "another version of Metaflow compiled it: use the tool's own"
        )
    path = f"PYTHONPATH={TOOL_PATH} PYTHONNOUSERSITE=1"
    secret = f"unset {request.notify.webhook_env} {request.notify.token_env}; " if request.notify.secret else ""
    restore = f"{path} python -m builder.steps.restore {step} || exit 1; " if request.restore else ""
    begin = f"{path} python -m builder.steps.begin {step} || true; {restore}{secret}"
    endpoint = request.data.endpoint
    given = {**told, **({"AWS_ENDPOINT_URL_S3": endpoint} if endpoint else {})}
    env = [*(container.get("env") or []), *({"name": name, "value": value} for name, value in given.items())]
    env.append({"name": contract.OUTBOX, "value": f"{PurePosixPath(request.place.output).parent}/outbox.jsonl"})
    last = f"cd / && {path} python -m builder.runs.own_outbox {step} $METAFLOW_TASK_ID"
    asked = f'[ $c = 0 ] && [ -s "${contract.OUTBOX}" ] && {{ {last} || c=1; }}; {_END}'
    return {**container, "command": [shell, option, begin + text.removesuffix(_END) + asked], "env": env}
