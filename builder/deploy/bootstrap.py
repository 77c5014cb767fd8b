"""What a namespace needs before flows run in it: accounts with as few rights as will do, and the deps image on every node.

Secrets are named, never made: their values are nobody's business but the cluster's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from builder.settings import Settings

_MANAGED = {"app.kubernetes.io/managed-by": "builder"}
_RBAC = "rbac.authorization.k8s.io"

RUN_RULES = (
    {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]},  # every Argo pod
    {"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["create", "get", "list"]},  # a run starts another
    {"apiGroups": ["argoproj.io"], "resources": ["workflowtemplates"], "verbs": ["get", "list"]},
)
"""Of the account of steps. It may start runs of templates that are there, and make none."""

START_RULES = (
    *RUN_RULES,
    {"apiGroups": ["argoproj.io"], "resources": ["workflowtemplates"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["builder-queues"], "verbs": ["get", "patch"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},  # a name cannot be given before the object is there
)
"""Of the account that makes templates of other revisions, and of CI that deploys (with `cronworkflows`)."""

DEPLOY_RULES = (
    *START_RULES,
    {"apiGroups": ["argoproj.io"], "resources": ["cronworkflows"], "verbs": ["create", "get", "list", "patch", "delete"]},
    {"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["patch", "delete"]},  # stop, clean up
    {"apiGroups": ["argoproj.io"], "resources": ["workflowtemplates"], "verbs": ["delete"]},
    {"apiGroups": [""], "resources": ["pods", "pods/log", "events"], "verbs": ["get", "list"]},
)
"""Of people and CI: all that `builder run`, `deploy`, `logs` and `stop` do."""

DEPLOYER = "builder-deploy"


def bootstrap(settings: Settings, deps_reference: str = "") -> list[dict[str, Any]]:
    """The manifests, in the order in which they are applied. `deps_reference` is the image to have on every node, if any."""
    deploy = settings.deploy
    namespace = deploy.namespace
    objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": _MANAGED}}]
    for account, rules in ((deploy.account, RUN_RULES), (deploy.starter, START_RULES), (DEPLOYER, DEPLOY_RULES)):
        objects += account_with_role(namespace, account, rules)
    if deps_reference:
        objects.append(pre_pull(namespace, deps_reference, deploy.pull_secrets))
    return objects


def account_with_role(namespace: str, name: str, rules: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    metadata = {"name": name, "namespace": namespace, "labels": _MANAGED}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    role = {"apiGroup": _RBAC, "kind": "Role", "name": name}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{_RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": [dict(rule) for rule in rules]},
        {"apiVersion": f"{_RBAC}/v1", "kind": "RoleBinding", "metadata": metadata, "roleRef": role, "subjects": [subject]},
    ]


def pre_pull(namespace: str, reference: str, pull_secrets: Sequence[str]) -> dict[str, Any]:
    """A DaemonSet that keeps an image on every node: what a commit adds to it is small."""
    labels = {**_MANAGED, "app.kubernetes.io/name": "builder-pre-pull"}
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


def secrets_needed(settings: Settings) -> dict[str, str]:
    """The secrets that the settings name, with what each must hold: `kubectl create secret` makes them."""
    deploy = settings.deploy
    needed: dict[str, str] = {}
    needed |= dict.fromkeys(deploy.secrets, "environment variables of every step, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    needed |= dict.fromkeys(deploy.pull_secrets, "kubernetes.io/dockerconfigjson: the registry's credentials")
    if deploy.git_secret:
        needed[deploy.git_secret] = "url and token: how the starter reads the repository"
    if settings.notify.secret:
        needed[settings.notify.secret] = f"{settings.notify.webhook_env}, or {settings.notify.token_env}"
    return needed
