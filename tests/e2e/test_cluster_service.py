"""The cluster that the other tests run on: it runs a workflow in an image by digest, and lets nobody do more than their role says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fixtures.cluster import Cluster
from tests.fixtures.servers import S3Server

pytestmark = pytest.mark.cluster

ACCOUNT = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: runner}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: runner}
rules: [{apiGroups: [argoproj.io], resources: [workflowtaskresults], verbs: [create, patch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: runner}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: runner}
subjects: [{kind: ServiceAccount, name: runner}]
"""


def workflow(image: str, script: str) -> str:
    template = {
        "name": "main",
        "container": {"image": image, "command": ["bash", "-c"], "args": [script]},
        "outputs": {"parameters": [{"name": "said", "valueFrom": {"path": "/tmp/said"}}]},
    }
    spec = {"serviceAccountName": "runner", "entrypoint": "main", "templates": [template]}
    return json.dumps({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"generateName": "hello-"}, "spec": spec})


@pytest.fixture
def account(cluster: Cluster, namespace: str) -> str:
    """Of one who may do what Argo's executor must, and nothing else."""
    cluster.output("--namespace", namespace, "apply", "--filename=-", stdin=ACCOUNT)
    return f"system:serviceaccount:{namespace}:runner"


def start(cluster: Cluster, namespace: str, manifest: str) -> str:
    return cluster.output("--namespace", namespace, "create", "--filename=-", "--output=name", stdin=manifest).strip()


def wait_for(cluster: Cluster, namespace: str, name: str, phase: str = "Succeeded") -> None:
    cluster.output("--namespace", namespace, "wait", f"--for=jsonpath={{.status.phase}}={phase}", name, "--timeout=90s")


def only_pod(cluster: Cluster, namespace: str) -> Any:
    (pod,) = cluster.read("--namespace", namespace, "pods")["items"]
    return pod


@pytest.mark.base
def test_a_workflow_runs_in_the_image_that_its_digest_names(cluster: Cluster, namespace: str, account: str, ngc_base: str) -> None:
    script = "python -c 'import torch; print(\"hello from\", torch.__version__)' | tee /tmp/said; type tar md5sum"
    name = start(cluster, namespace, workflow(ngc_base, script))
    wait_for(cluster, namespace, name)
    pod = only_pod(cluster, namespace)
    ran = {status["name"]: status["imageID"] for status in pod["status"]["containerStatuses"]}
    assert ran["main"].rpartition("@")[2] == ngc_base.rpartition("@")[2]
    assert pod["spec"]["serviceAccountName"] == "runner"
    log = cluster.output("--namespace", namespace, "logs", pod["metadata"]["name"], "--container=main").splitlines()
    assert log[0] == "hello from 2.4.0a0+3bcc3cddb5.nv24.7"
    (node,) = cluster.read("--namespace", namespace, name)["status"]["nodes"].values()
    assert node["outputs"]["parameters"][0]["value"] == log[0]


@pytest.mark.base
@pytest.mark.s3
def test_pods_reach_the_registry_and_s3_where_this_machine_does(
    cluster: Cluster, namespace: str, account: str, ngc_base: str, cluster_registry: str, s3_server: S3Server
) -> None:
    digest = ngc_base.rpartition("@")[2]
    urls = [f"http://{cluster_registry}/v2/nvidia/pytorch/manifests/{digest}", f"{s3_server.endpoint}/-health"]
    script = "python -c 'import sys, urllib.request as r; print(*(r.urlopen(u).status for u in sys.argv[1:]))' " + " ".join(urls)
    image = f"{cluster_registry}/nvidia/pytorch@{digest}"
    wait_for(cluster, namespace, start(cluster, namespace, workflow(image, f"{script} | tee /tmp/said")))
    pod = only_pod(cluster, namespace)
    assert cluster.output("--namespace", namespace, "logs", pod["metadata"]["name"], "--container=main").splitlines()[0] == "200 200"


def test_an_account_may_do_what_its_role_says_and_no_more(cluster: Cluster, namespace: str, account: str) -> None:
    asked = ("--namespace", namespace, "auth", "can-i", "--as", account)
    assert cluster.run(*asked, "create", "workflowtaskresults.argoproj.io").stdout.strip() == "yes"
    assert cluster.run(*asked, "create", "workflowtemplates.argoproj.io").stdout.strip() == "no"
    assert cluster.run(*asked, "get", "secrets").stdout.strip() == "no"


def test_the_api_server_can_go_away_and_come_back(cluster: Cluster) -> None:
    with cluster.without_api_server():
        assert cluster.run("get", "nodes", "--request-timeout=2s").returncode != 0
    assert cluster.run("get", "nodes", "--request-timeout=20s").returncode == 0
