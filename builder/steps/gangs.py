"""The gangs of pods of a run: where they run, and as whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.settings import LaunchSettings, seconds
from builder.steps import markers
from builder.steps.request import Request
from builder.steps.root import objects_of

if TYPE_CHECKING:
    from builder.launch.jobset.launcher import JobSets


def gangs_of(request: Request, launch: LaunchSettings) -> JobSets:
    """What executes a step's command in the cluster: this pod's own, or that of the kubeconfig. Raises ClusterError."""
    from builder.cluster.kubernetes import connect
    from builder.launch.jobset.launcher import JobSets
    from builder.launch.jobset.manifest import REQUEST, Pods

    deploy = request.deploy
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
    return JobSets(cluster, objects, request.run, launch.jobset, launch.pod, pods, say=markers.note, echo=echo)


def cancel_gangs(request: Request) -> None:
    """Ends those that go on. Raises ClusterError, AuthError."""
    from builder.cluster.kubernetes import connect
    from builder.launch.jobset.launcher import cancel_all

    deploy = request.deploy
    cancel_all(connect(deploy.namespace, "" if request.on == "argo" else deploy.context), request.run)
