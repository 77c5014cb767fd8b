"""What a namespace needs before flows run in it: accounts with as few rights as will do, and the deps image on every node.

Secrets are named, never made: their values are nobody's business but the cluster's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from builder.cluster.interface import Cluster, kind_of
from builder.deploy.apply import Applied
from builder.deploy.compare import differences
from builder.deploy.names import MANAGED, plain_kind
from builder.settings import DeploySettings, Settings

_RBAC = "rbac.authorization.k8s.io"

RUN_RULES = (
    {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]},  # every Argo pod
    {"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["create", "get", "list"]},  # a run starts another
    {"apiGroups": ["argoproj.io"], "resources": ["workflowtemplates"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},  # why a pod never started: what tells of a run's end reads it
)
"""Of the account of steps. It may start runs of templates that are there, and make none."""

START_RULES = (
    *RUN_RULES,
    {"apiGroups": ["argoproj.io"], "resources": ["workflowtemplates"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["builder-queues"], "verbs": ["get", "patch"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},  # a name cannot be given before the object is there
)
"""Of the account that makes templates of other revisions, and of CI that deploys (with `cronworkflows`)."""

KEEP_RULES = (
    *RUN_RULES,
    {"apiGroups": ["argoproj.io"], "resources": ["cronworkflows"], "verbs": ["get", "list"]},
    {"apiGroups": ["argoproj.io"], "resources": ["workflows", "workflowtemplates"], "verbs": ["delete"]},
)
"""Of the account of the flows watch and housekeep."""

DEPLOY_RULES = (
    *START_RULES,
    {"apiGroups": ["argoproj.io"], "resources": ["cronworkflows"], "verbs": ["create", "get", "list", "patch", "delete"]},
    {"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["patch", "delete"]},  # stop, clean up
    {"apiGroups": ["argoproj.io"], "resources": ["workflowtemplates"], "verbs": ["delete"]},
    {"apiGroups": [""], "resources": ["pods", "pods/log", "events"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get"]},  # doctor
    {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets", "daemonsets"], "verbs": ["list"]},  # gc: whatever names an image
    {"apiGroups": ["batch"], "resources": ["jobs", "cronjobs"], "verbs": ["list"]},
    {"apiGroups": ["jobset.x-k8s.io"], "resources": ["jobsets"], "verbs": ["list"]},
)
"""Of people and CI: all that `builder run`, `deploy`, `logs`, `stop`, `gc` and `doctor` do."""

BOX_RULES = (
    {"apiGroups": [""], "resources": ["pods", "persistentvolumeclaims"], "verbs": ["create", "get", "list", "delete"]},
    {"apiGroups": [""], "resources": ["pods/portforward", "pods/exec"], "verbs": ["create", "get"]},
)
"""Of people, where the settings allow development machines: whoever may enter pods can read their secrets."""

GANG_RULES = (
    {"apiGroups": ["jobset.x-k8s.io"], "resources": ["jobsets"], "verbs": ["create", "get", "list", "delete"]},
    {"apiGroups": ["kueue.x-k8s.io"], "resources": ["workloads"], "verbs": ["get", "list"]},  # why a gang waits
    {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},  # what it writes
)
"""Of all of them, where the settings have a step that runs as a gang of pods."""

DEPLOYER = "builder-deploy"


def bootstrap(settings: Settings, deps_reference: str = "") -> list[dict[str, Any]]:
    """The manifests, in the order in which they are applied. `deps_reference` is the image to have on every node, if any."""
    deploy = settings.deploy
    namespace = deploy.namespace
    gangs = GANG_RULES if any(launch.on == "jobset" or launch.jobset.queue for launch in settings.launch.values()) else ()
    objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": MANAGED}}]
    for account, rules in (
        (deploy.account, RUN_RULES),
        (deploy.starter, START_RULES),
        (deploy.keeper, KEEP_RULES),
        (DEPLOYER, (*DEPLOY_RULES, *(BOX_RULES if settings.devbox.allow else ()))),
    ):
        objects += account_with_role(namespace, account, (*rules, *gangs))
    if deps_reference:
        objects.append(pre_pull(namespace, deps_reference, deploy.pull_secrets))
    return objects


def account_with_role(namespace: str, name: str, rules: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    metadata = {"name": name, "namespace": namespace, "labels": MANAGED}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    role = {"apiGroup": _RBAC, "kind": "Role", "name": name}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{_RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": [dict(rule) for rule in rules]},
        {"apiVersion": f"{_RBAC}/v1", "kind": "RoleBinding", "metadata": metadata, "roleRef": role, "subjects": [subject]},
    ]


def pre_pull(namespace: str, reference: str, pull_secrets: Sequence[str]) -> dict[str, Any]:
    """A DaemonSet that keeps an image on every node: what a commit adds to it is small."""
    labels = {**MANAGED, "app.kubernetes.io/name": "builder-pre-pull"}
    container = {
        "name": "pulled",
        "image": reference,
        "command": ["sleep", "infinity"],
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "16Mi"}},
    }
    pod: dict[str, Any] = {"containers": [container], "tolerations": [{"operator": "Exists"}], "terminationGracePeriodSeconds": 0}
    pod["automountServiceAccountToken"] = False
    if pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in pull_secrets]
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"selector": {"matchLabels": labels}, "template": template, "updateStrategy": {"type": "RollingUpdate"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "builder-pre-pull", "namespace": namespace, "labels": labels},
        "spec": spec,
    }


def foresee_bootstrap(cluster: Cluster, manifests: Iterable[Mapping[str, Any]]) -> list[Applied]:
    """What `apply_bootstrap` would do. Reads only."""
    return [_look(cluster, manifest) for manifest in manifests]


def apply_bootstrap(cluster: Cluster, manifests: Iterable[Mapping[str, Any]]) -> Iterator[Applied]:
    """Makes every object be as its manifest says, each as it is done. A namespace that is there is left alone: it may be somebody's.

    Raises AuthError when this account may not, which is an administrator's work.
    """
    for manifest in manifests:
        planned = _look(cluster, manifest)
        if planned.done != "found":
            cluster.apply(manifest)
        yield planned


def _look(cluster: Cluster, manifest: Mapping[str, Any]) -> Applied:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    there = cluster.get(kind_of(manifest), name)
    changed = differences(manifest, there) if there is not None and kind != "Namespace" else ()
    return Applied(plain_kind(manifest), name, "created" if there is None else "changed" if changed else "found", changed)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that must be in the namespace, what it must hold, and the line that makes it."""

    name: str
    meaning: str
    command: str


def secrets_needed(settings: Settings) -> list[Secret]:
    """The secrets that the settings name."""
    deploy, notify = settings.deploy, settings.notify
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    needed = [_generic(deploy, name, "the environment of every step, such as S3 credentials", keys) for name in deploy.secrets]
    needed += [_for_pulling(deploy, name) for name in deploy.pull_secrets]
    if deploy.git_secret:
        needed.append(_generic(deploy, deploy.git_secret, "how the starter of other revisions reads the repository", ("url", "token")))
    if notify.secret:
        needed.append(_generic(deploy, notify.secret, "where messages go: one of these", (notify.webhook_env, notify.token_env)))
    return needed


def _generic(deploy: DeploySettings, name: str, meaning: str, keys: Sequence[str]) -> Secret:
    values = " ".join(f"--from-literal={key}=..." for key in keys)
    return Secret(name, meaning, f"kubectl --namespace {deploy.namespace} create secret generic {name} {values}")


def _for_pulling(deploy: DeploySettings, name: str) -> Secret:
    values = "--docker-server=... --docker-username=... --docker-password=..."
    line = f"kubectl --namespace {deploy.namespace} create secret docker-registry {name} {values}"
    return Secret(name, "the credentials with which nodes pull the image", line)
