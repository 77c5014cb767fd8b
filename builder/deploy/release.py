"""A commit's flow made ready for a cluster: its image by digest, its request, its template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from builder.data.interface import Objects
from builder.deploy.compile import Source, Target, compile_flow
from builder.deploy.isolate import Surroundings, for_built_in, for_own
from builder.deploy.render import Release, render
from builder.errors import SettingsError
from builder.settings import QueueSettings, Settings
from builder.steps.request import Request

_KEPT = "1h"


@dataclass(frozen=True, slots=True)
class Bench:
    """What templates are made with: the data root, where compiled flows are kept, and the environment of the compiler."""

    objects: Objects
    cache: Path
    environ: Mapping[str, str]


def make_template(request: Request, date: int, settings: Settings, source: Source, bench: Bench, handler: str = "") -> dict[str, Any]:
    """The WorkflowTemplate of a flow at a commit. `handler` is the image that looks after the end of its runs, by digest; the
    commit's own when empty. Raises DeployError, SettingsError.
    """
    settings = _of_keeper(settings) if request.in_force else settings
    compiled = compile_flow(source, target_of(settings), bench.objects, bench.cache, bench.environ)
    return render(compiled, release_of(request, date, settings, handler))


def _of_keeper(settings: Settings) -> Settings:
    """Under an account of its own; and as it runs again and again, what went well goes soon."""
    return replace(settings, deploy=replace(settings.deploy, account=settings.deploy.keeper, keep_succeeded=_KEPT))


def release_of(request: Request, date: int, settings: Settings, handler: str = "") -> Release:
    queue = settings.queue.get(request.flow, QueueSettings())
    return Release(request, date, settings.deploy, queue, _around(request), handler)


def _around(request: Request) -> Surroundings:
    workdir, file = str(Path(request.place.output).parent), request.settings.file
    return for_own(workdir, request.place, file) if file else for_built_in(workdir)


def target_of(settings: Settings) -> Target:
    """Raises SettingsError when pods could not reach the data root."""
    root = settings.data.root
    if not root.startswith("s3://"):
        raise SettingsError(f"[data] root is {root}: pods cannot reach a directory of this machine", 'set root = "s3://bucket/prefix"')
    deploy = settings.deploy
    return Target(deploy.namespace, deploy.account, root, settings.data.endpoint, deploy.secrets, settings.metaflow.service)
