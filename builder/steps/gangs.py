"""The gangs of pods of a run: where they run, and as whom."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from builder.errors import BuilderError
from builder.settings import seconds
from builder.steps import markers
from builder.steps.jobs import GANG
from builder.steps.request import Request
from builder.steps.root import ledger_of, objects_of

if TYPE_CHECKING:
    from builder.launch.jobset.launcher import JobSets


def gangs_of(request: Request, step: str, facts: dict[str, Any]) -> JobSets:
    """What executes a step's command in the cluster: this pod's own, or that of the kubeconfig. `facts` are what the step's record says:
    they hear of a gang while it waits. Raises ClusterError.
    """
    from builder.cluster.kubernetes import connect
    from builder.launch.jobset.launcher import JobSets
    from builder.launch.jobset.manifest import REQUEST, Pods

    deploy, launch = request.deploy, request.launching(step)
    pods = Pods(
        image=request.reference,
        account=deploy.account,
        secrets=deploy.secrets,
        pull_secrets=deploy.pull_secrets,
        keep=seconds(deploy.keep_failed),
        env={REQUEST: request.pack()},
    )
    cluster = connect(deploy.namespace, "" if request.on == "argo" else deploy.context)
    objects, echo = objects_of(request), request.place.echo
    return JobSets(cluster, objects, request.run, launch.jobset, launch.pod, pods, _news(request, step, facts), echo=echo)


def _news(request: Request, step: str, facts: dict[str, Any]) -> Callable[[str], None]:
    """Into the step's output and its record: what its gang waits for, or that it has begun. This process is the record's only writer."""

    def heard(text: str) -> None:
        markers.note(text)
        facts[GANG] = text
        with contextlib.suppress(BuilderError):  # a data root that does not answer for a moment ends no wait of hours
            ledger = ledger_of(request)
            ledger.write(request.run, step, {**ledger.read(request.run).get(step, {"state": "running"}), **facts})

    return heard


def cancel_gangs(request: Request) -> None:
    """Ends those that go on. Raises ClusterError, AuthError."""
    from builder.cluster.kubernetes import connect
    from builder.launch.jobset.launcher import cancel_all

    deploy = request.deploy
    cancel_all(connect(deploy.namespace, "" if request.on == "argo" else deploy.context), request.run)
