"""What an administrator makes once: accounts with few rights, images on nodes, names of secrets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builder.deploy.apply import Applied
from builder.deploy.bootstrap import DEPLOYER, apply_bootstrap, bootstrap, foresee_bootstrap, secrets_needed
from builder.settings import DeploySettings, JobSetSettings, LaunchSettings, NotifySettings, Settings
from tests.fixtures.memory_cluster import MemoryCluster

SETTINGS = Settings(deploy=DeploySettings(namespace="team", account="run", starter="start", pull_secrets=("pull",)))
IMAGE = f"registry.test/x@sha256:{'1' * 64}"


def of_kind(kind: str, name: str, manifests: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = (manifest for manifest in manifests if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name))
    return found


def may(role: dict[str, Any], verb: str, resource: str) -> bool:
    return any(verb in rule["verbs"] and resource in rule["resources"] for rule in role["rules"])


def test_the_namespace_comes_first_and_everything_else_is_in_it() -> None:
    first, *others = bootstrap(SETTINGS, IMAGE)
    assert (first["kind"], first["metadata"]["name"]) == ("Namespace", "team")
    assert {manifest["metadata"]["namespace"] for manifest in others} == {"team"}
    assert {manifest["metadata"]["labels"]["app.kubernetes.io/managed-by"] for manifest in [first, *others]} == {"builder"}


@pytest.mark.parametrize(
    ("account", "templates", "schedules", "logs"),
    [("run", False, False, False), ("start", True, False, False), (DEPLOYER, True, True, True)],
)
def test_who_may_what(account: str, templates: bool, schedules: bool, logs: bool) -> None:
    manifests = bootstrap(SETTINGS)
    role = of_kind("Role", account, manifests)
    assert may(role, "create", "workflows")
    assert may(role, "create", "workflowtaskresults")
    assert may(role, "create", "workflowtemplates") is templates
    assert may(role, "patch", "cronworkflows") is schedules
    assert may(role, "get", "pods/log") is logs
    binding = of_kind("RoleBinding", account, manifests)
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "team"}]


@pytest.mark.parametrize("account", ["run", "start", DEPLOYER])
def test_who_may_start_gangs_of_pods_where_the_settings_have_one(account: str) -> None:
    gangs = replace(SETTINGS, launch={"train": LaunchSettings(jobset=JobSetSettings(queue="research"))})
    role, without = (of_kind("Role", account, bootstrap(settings)) for settings in (gangs, SETTINGS))
    for verb, resource in (("create", "jobsets"), ("delete", "jobsets"), ("list", "workloads"), ("get", "pods/log")):
        assert may(role, verb, resource)
    assert not may(role, "create", "pods")
    assert not may(without, "create", "jobsets")


def test_nobody_reads_secrets_or_has_everything() -> None:
    for manifest in bootstrap(SETTINGS, IMAGE):
        for rule in manifest.get("rules", ()):
            assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
            assert not {"secrets", "roles", "rolebindings", "pods/exec"} & set(rule["resources"])


def test_the_image_is_kept_on_every_node() -> None:
    pod = of_kind("DaemonSet", "builder-pre-pull", bootstrap(SETTINGS, IMAGE))["spec"]["template"]["spec"]
    assert [container["image"] for container in pod["containers"]] == [IMAGE]
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert "DaemonSet" not in [manifest["kind"] for manifest in bootstrap(SETTINGS)]


def test_the_second_time_nothing_is_done() -> None:
    cluster, manifests = MemoryCluster("team"), bootstrap(SETTINGS, IMAGE)
    assert {applied.done for applied in foresee_bootstrap(cluster, manifests)} == {"created"}
    assert cluster.objects == {}
    assert {applied.done for applied in apply_bootstrap(cluster, manifests)} == {"created"}
    cluster.asked = []
    assert {applied.done for applied in apply_bootstrap(cluster, manifests)} == {"found"}
    assert {verb for verb, _, _ in cluster.asked} == {"get"}


def test_another_image_changes_the_daemon_set_alone() -> None:
    cluster = MemoryCluster("team")
    list(apply_bootstrap(cluster, bootstrap(SETTINGS, IMAGE)))
    done = [applied for applied in apply_bootstrap(cluster, bootstrap(SETTINGS, f"{IMAGE[:-1]}2")) if applied.done != "found"]
    line = f'spec.template.spec.containers[pulled].image: "{IMAGE}" -> "{IMAGE[:-1]}2"'
    assert done == [Applied("daemonset", "builder-pre-pull", "changed", (line,))]


def test_a_namespace_that_is_there_is_left_alone() -> None:
    cluster = MemoryCluster("team")
    cluster.create({"kind": "Namespace", "metadata": {"name": "team", "labels": {"of": "somebody"}}})
    assert next(apply_bootstrap(cluster, bootstrap(SETTINGS))) == Applied("namespace", "team", "found")


def test_secrets_that_must_be_there() -> None:
    deploy = DeploySettings(namespace="team", secrets=("s3",), pull_secrets=("pull",), git_secret="git")
    needed = {secret.name: secret for secret in secrets_needed(Settings(deploy=deploy, notify=NotifySettings(secret="slack")))}
    assert list(needed) == ["s3", "pull", "git", "slack"]
    assert needed["s3"].command == (
        "kubectl --namespace team create secret generic s3 --from-literal=AWS_ACCESS_KEY_ID=... --from-literal=AWS_SECRET_ACCESS_KEY=..."
    )
    assert needed["pull"].command.startswith("kubectl --namespace team create secret docker-registry pull --docker-server=")
    assert "--from-literal=url=... --from-literal=token=..." in needed["git"].command
    assert "SLACK_WEBHOOK_URL" in needed["slack"].command
    assert secrets_needed(Settings()) == []
