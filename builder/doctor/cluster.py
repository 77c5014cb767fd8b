"""The cluster: whether it answers, has an Argo that is new enough, and lets this account do what the commands need."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import wraps
from itertools import islice

from builder.cluster.interface import Cluster
from builder.deploy.bootstrap import DEPLOY_RULES
from builder.doctor.scene import Found, Scene, failed, not_needed, ok
from builder.errors import BuilderError
from builder.settings.keeping import is_keeper

_OLDEST = (3, 6)  # lists of schedules and of semaphores, which Argo 4 wants
_VERSION = re.compile(rb"Starting Workflow Executor.*\bversion=\"?v?(\d+)\.(\d+)\.(\d+)")
_PODS = 20  # are asked at most
_BOOTSTRAP = "an administrator runs `builder deploy --bootstrap`"


def needed(scene: Scene) -> bool:
    """Whether anything goes to a cluster from here: runs by default, or [deploy] is set."""
    settings = scene.settings
    return settings.run.on == "argo" or settings.origin.get("deploy", "default") != "default"


def when_needed(look: Callable[[Scene], Found]) -> Callable[[Scene], Found]:
    @wraps(look)
    def looked(scene: Scene) -> Found:
        return look(scene) if needed(scene) else not_needed(_unasked(scene))

    return looked


def _unasked(scene: Scene) -> str:
    why = 'neither [run] on = "argo" nor [deploy] is set'
    if names := sorted(scene.settings.schedule):
        return f"not looked at: {why}; but [schedule.{names[0]}] runs in a cluster alone: write namespace into [deploy]"
    return f"not looked at: runs are on this machine unless --on says otherwise, as {why}"


@when_needed
def reachable(scene: Scene) -> Found:
    """One request that needs server, certificate, account, namespace and Argo's own kinds of objects."""
    cluster = scene.open_cluster()
    next(iter(cluster.list("workflowtemplates")), None)
    return ok(f"{cluster.server} answers for namespace {cluster.namespace}")


@when_needed
def argo(scene: Scene) -> Found:
    """Argo says its version where few may read; but each of its pods writes it into its log."""
    found = argo_version(scene.open_cluster())
    if found is None:
        return ok("installed; version unknown until the pod of a run is here to tell (--deep makes one)")
    number = ".".join(map(str, found))
    if found < _OLDEST:
        return failed(f"Argo Workflows {number}", f"install {_OLDEST[0]}.{_OLDEST[1]} or newer: schedules and queues need it")
    return ok(f"Argo Workflows {number}")


def argo_version(cluster: Cluster) -> tuple[int, int, int] | None:
    """From the log of the newest pod that has one."""
    pods = [pod for pod in cluster.list("pods") if "workflows.argoproj.io/workflow" in (pod["metadata"].get("labels") or {})]
    newest = sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)
    versions = (version_in(cluster, pod["metadata"]["name"]) for pod in islice(newest, _PODS))
    return next((version for version in versions if version), None)


def version_in(cluster: Cluster, pod: str) -> tuple[int, int, int] | None:
    """What the pod's log says of Argo; None when it has not started, or its log is gone."""
    try:
        start = next(iter(cluster.log(pod, "wait")), b"")
    except BuilderError:
        return None
    match = _VERSION.search(start)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


@when_needed
def rights(scene: Scene) -> Found:
    """As `kubectl auth can-i`, for all that the commands do."""
    cluster = scene.open_cluster()
    asked = sorted(set(_rights()))
    refused = [f"{verb} {kind}" for verb, kind, name in asked if not cluster.may(verb, kind, name)]
    if refused:
        return failed(f"this account may not {', '.join(refused)}", f"{_BOOTSTRAP}; the account builder-deploy may do all of it")
    return ok(f"all {len(asked)} that run, deploy, logs and stop need")


def _rights() -> Iterator[tuple[str, str, str]]:
    """Verb, kind and name (mostly any). What Argo's own pods do is not this account's."""
    for rule in DEPLOY_RULES:
        for kind in rule["resources"]:
            for verb in rule["verbs"] if kind != "workflowtaskresults" else ():
                yield verb, kind, next(iter(rule.get("resourceNames", ())), "")


@when_needed
def accounts(scene: Scene) -> Found:
    """The service accounts, and the secrets with which pods read data and pull: whose values nobody here may see."""
    cluster, deploy = scene.open_cluster(), scene.settings.deploy
    keeper = [deploy.keeper] if any(is_keeper(name, flow) for name, flow in scene.settings.flow.items()) else []
    missing = [name for name in (deploy.account, deploy.starter, *keeper) if cluster.get("serviceaccounts", name) is None]
    if missing:
        return failed(f"no service account {', '.join(missing)} in {cluster.namespace}", _BOOTSTRAP)
    secrets = [*deploy.secrets, *deploy.pull_secrets]
    if not secrets:
        return ok(f"{deploy.account} is there; the settings name no secrets")
    if not cluster.may("get", "secrets"):
        return ok(f"{deploy.account} is there; whether {', '.join(secrets)} is, this account may not see: --deep tries")
    missing = [name for name in secrets if cluster.get("secrets", name) is None]
    if missing:
        return failed(
            f"no secret {', '.join(missing)} in {cluster.namespace}", "`builder deploy --bootstrap --dry-run` says how to make it"
        )
    return ok(f"{deploy.account} and {', '.join(secrets)} are there")
