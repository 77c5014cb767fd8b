"""From a compiled flow to a commit's template: isolated, pinned, named after what it holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.deploy import names
from builder.deploy.compile import IMAGE, NAME, TOKEN, normalise
from builder.deploy.exit_handler import EXIT
from builder.deploy.isolate import check_pinned, images
from builder.deploy.pods import retry_strategy, toleration, waiting_pod, with_pod
from builder.deploy.render import render
from builder.errors import DeployError
from builder.settings import (
    DeploySettings,
    ErrorSettings,
    ExternalSettings,
    FlowSettings,
    LaunchSettings,
    NotifySettings,
    PodSettings,
    QueueSettings,
)
from builder.steps.request import Request
from tests.fixtures.compiled import STEPS, compiled
from tests.fixtures.releases import FLOW, REFERENCE, release, template


def containers(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By the name of the template."""
    return {part["name"]: part for part in manifest["spec"]["templates"] if "container" in part}


def variables(part: Mapping[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in part["container"]["env"]}


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def test_nothing_of_the_placeholders_is_left(tmp_path: Path) -> None:
    made = json.dumps(template(tmp_path))
    assert not [word for word in (NAME, IMAGE, TOKEN) if word in made]
    assert "null" not in made
    assert f"kubernetes:image={REFERENCE} " in made


def test_every_container_is_alone_in_a_directory_with_the_tools_path(tmp_path: Path) -> None:
    found = containers(template(tmp_path))
    assert set(found) == {*STEPS, EXIT}
    for part in found.values():
        assert part["container"]["workingDir"] == "/builder-work"
        assert {"name": "builder-work", "mountPath": "/builder-work"} in part["container"]["volumeMounts"]
        assert {"name": "builder-work", "emptyDir": {}} in part["volumes"]
        assert variables(part)["PYTHONPATH"] == "/opt/builder"
        assert variables(part)["METAFLOW_SKIP_INSTALL_DEPENDENCIES"] == "1"
        assert [variable["name"] for variable in part["container"]["env"]].count("PYTHONPATH") == 1


def test_every_image_is_the_commits(tmp_path: Path) -> None:
    found = dict(images(template(tmp_path)))
    assert set(found.values()) == {REFERENCE}
    assert len(found) == 3


def test_an_image_of_the_flows_own_is_refused(tmp_path: Path) -> None:
    flow = compiled()
    flow["spec"]["templates"][1]["container"]["image"] = "python:3.12"
    with pytest.raises(DeployError, match=r"spec\.templates\[start\]\.container\.image is python:3\.12"):
        render(flow, release(tmp_path))


def test_a_tag_is_no_digest() -> None:
    with pytest.raises(DeployError, match=r"registry\.test/x:tag names no digest"):
        check_pinned({}, "registry.test/x:tag")


def test_the_name_says_flow_and_commit_and_what_is_in_it(tmp_path: Path) -> None:
    made = template(tmp_path)
    assert made["metadata"]["name"] == variables(containers(made)["start"])["ARGO_WORKFLOW_TEMPLATE"]
    assert made["metadata"]["name"].startswith(f"finetune-{'a' * 12}-")
    assert template(tmp_path) == made
    other = template(tmp_path, replace(FLOW, command=("python", "other.py")))
    assert other["metadata"]["name"] != made["metadata"]["name"]
    assert other["metadata"]["name"][:22] == made["metadata"]["name"][:22]


def test_the_longest_name_fits() -> None:
    """Metaflow takes 45 characters."""
    assert len(names.template_name("f" * 22, "a" * 40, "b" * 8)) == 44


def test_the_request_is_packed_and_holds_no_run(tmp_path: Path) -> None:
    made = template(tmp_path)
    (parameter,) = made["spec"]["arguments"]["parameters"]
    assert parameter["name"] == "request"
    found = Request.unpack(parameter["value"])
    assert (found.run, found.flow, found.settings) == ("", "finetune", FLOW)


HOSTILE = ("{{workflow.name}}", "{{", "'quoted' \"twice\"", "two\nlines", "$(touch x) `touch y` ${HOME}", "🙂", "\\", "{{=1+1}}")


def test_what_a_command_says_is_for_nobody_but_the_command(tmp_path: Path) -> None:
    """Argo reads `{{`, and Metaflow hands parameters through a shell."""
    flow = FlowSettings(command=HOSTILE, evals={"click": HOSTILE})
    made = template(tmp_path, flow, overrides=HOSTILE)
    (parameter,) = made["spec"]["arguments"]["parameters"]
    assert Request.unpack(parameter["value"]).settings == flow
    assert not set(parameter["value"]) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=")
    own = {"{{workflow.name}}", "{{workflow.parameters.request}}", "{{workflow.status}}", "{{workflow.failures}}"}
    own |= {"{{workflow.creationTimestamp}}"}
    for text in strings(made["spec"]):
        if "{{" in text and not text.startswith("(python finetune.py"):
            assert text in own


@pytest.mark.parametrize("subject", ["x" * 300, "🙂" * 80, "Close {{ what {{workflow.name}} opens", 'say "hi"\tnow', ""])
def test_a_subject_stands_where_argo_does_not_read_it(tmp_path: Path, subject: str) -> None:
    made = template(tmp_path, subject=subject)
    assert made["metadata"]["annotations"]["builder/subject"] == subject
    assert subject not in list(strings(made["spec"])) or not subject
    for labels in (made["metadata"]["labels"], made["spec"]["podMetadata"]["labels"]):
        assert all(len(value) <= 63 and value.isascii() for value in labels.values())


def test_marks_are_on_template_workflow_and_pods(tmp_path: Path) -> None:
    made = template(tmp_path)
    for marks in (made["metadata"], made["spec"]["workflowMetadata"], made["spec"]["podMetadata"]):
        assert {"builder/flow": "finetune", "builder/commit": "a" * 40, "builder/digest": "5" * 16}.items() <= marks["labels"].items()
        assert marks["annotations"]["builder/reference"] == REFERENCE
        assert json.loads(marks["annotations"]["metaflow/tags"]) == [f"commit:{'a' * 40}", f"digest:{'5' * 64}"]
        assert marks["annotations"]["metaflow/deployment_timestamp"] == "1970-01-01T00:00:00+00:00"
        assert "metaflow/parameters" not in marks["annotations"]


def test_rules_of_the_workflow(tmp_path: Path) -> None:
    deploy = DeploySettings(namespace="team", pull_secrets=("pull",), keep_succeeded="1d", keep_failed="2h", timeout="3h")
    spec = template(tmp_path, deploy=deploy)["spec"]
    assert spec["serviceAccountName"] == "builder-run"
    assert spec["onExit"] == EXIT
    assert spec["ttlStrategy"] == {"secondsAfterSuccess": 86400, "secondsAfterFailure": 7200}
    assert spec["activeDeadlineSeconds"] == 10800
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert "synchronization" not in spec
    assert "activeDeadlineSeconds" not in template(tmp_path)["spec"]


def test_queueing(tmp_path: Path) -> None:
    made = template(tmp_path, queue=QueueSettings(2, "gpus"))
    selector = {"configMapKeyRef": {"name": "builder-queues", "key": "finetune"}}
    assert made["spec"]["synchronization"] == {"semaphores": [selector]}
    assert made["spec"]["podMetadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert "kueue.x-k8s.io/queue-name" not in made["spec"]["workflowMetadata"]["labels"]
    assert made["metadata"]["name"] == template(tmp_path, queue=QueueSettings(5, "gpus"))["metadata"]["name"], "the number is not in it"


def test_what_the_exit_handler_is_told(tmp_path: Path) -> None:
    deploy = DeploySettings(secrets=("s3",))
    made = containers(template(tmp_path, deploy=deploy, notify=NotifySettings(secret="slack")))[EXIT]
    assert variables(made)["BUILDER_RUN"] == "{{workflow.name}}"
    assert variables(made)["BUILDER_FAILURES"] == "{{workflow.failures}}"
    sources = [{"secretRef": {"name": "s3"}}, {"secretRef": {"name": "slack", "optional": True}}]
    assert made["container"]["envFrom"] == sources
    assert made["container"]["command"][-1].endswith("|| true")


def test_what_a_pod_asks_for(tmp_path: Path) -> None:
    pod = PodSettings("4", "64Gi", "100Gi", 8, "nvidia.com/gpu", "16Gi", {"pool": "gpu"}, ("gpu=yes:NoSchedule", "spot"))
    made = containers(template(tmp_path, launch={"default": LaunchSettings(pod=pod), "evaluate": LaunchSettings()}))
    container = made["start"]["container"]
    assert container["resources"]["requests"] == {"cpu": "4", "memory": "64Gi", "ephemeral-storage": "100Gi"}
    assert container["resources"]["limits"] == {"memory": "64Gi", "nvidia.com/gpu": "8"}
    assert made["start"]["nodeSelector"] == {"pool": "gpu"}
    assert made["start"]["tolerations"][1] == {"key": "spot", "operator": "Exists"}
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in container["volumeMounts"]
    assert made["evaluate"]["container"]["resources"]["limits"] == {"memory": "2Gi"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("key", {"key": "key", "operator": "Exists"}),
        ("key=value", {"key": "key", "operator": "Equal", "value": "value"}),
        ("key=value:NoSchedule", {"key": "key", "operator": "Equal", "value": "value", "effect": "NoSchedule"}),
        ("key:NoExecute", {"key": "key", "operator": "Exists", "effect": "NoExecute"}),
    ],
)
def test_tolerations(text: str, wanted: dict[str, str]) -> None:
    assert toleration(text) == wanted


def test_a_pod_without_a_shared_memory_has_no_volume() -> None:
    made = with_pod({"name": "x", "container": {"volumeMounts": []}, "volumes": []}, PodSettings())
    assert made["volumes"] == []
    assert "tolerations" not in made


@pytest.mark.parametrize(
    ("rule", "goes_on", "limit"),
    [
        (ErrorSettings(), False, 0),
        (ErrorSettings(retry=2), False, 2),
        (ErrorSettings(retry=2, on=("failed", "exit:3")), False, 0),
        (ErrorSettings(retry=2, on=("memory",)), False, 2),
        (ErrorSettings(retry=2), True, 3),
        (ErrorSettings(otherwise="continue"), True, 1),
    ],
)
def test_how_often_argo_makes_a_new_pod(rule: ErrorSettings, goes_on: bool, limit: int) -> None:
    strategy = retry_strategy(rule, goes_on=goes_on)
    assert strategy["limit"] == limit
    assert strategy["backoff"] == {"duration": "10s", "factor": 2}
    assert "lastRetry.status == 'Error'" in strategy["expression"]


def test_a_pod_that_waits_for_somebody_else_is_made_again(tmp_path: Path) -> None:
    """Whatever the settings say of retries: it goes on waiting."""
    made = containers(template(tmp_path, replace(FLOW, evals={**FLOW.evals, "drag": ExternalSettings()})))
    assert (made["evaluate"]["retryStrategy"]["limit"], made["start"]["retryStrategy"]["limit"]) == (4, 0)
    assert containers(template(tmp_path))["evaluate"]["retryStrategy"]["limit"] == 0


def test_a_flow_that_another_follows_starts_it_at_its_end(tmp_path: Path) -> None:
    (command,) = {containers(template(tmp_path))[EXIT]["container"]["command"][2]}
    assert command == "python -m builder.deploy.ended || true"
    chained = containers(template(tmp_path, then={"publish": "ended"}))[EXIT]["container"]["command"][2]
    assert chained == "python -m builder.deploy.ended; python -m builder.runs.chained || true"


def test_only_the_evaluations_can_be_gone_on_without(tmp_path: Path) -> None:
    rule = ErrorSettings(otherwise="continue")
    made = containers(template(tmp_path, replace(FLOW, errors={"start": rule, "evaluate": rule})))
    assert made["start"]["retryStrategy"]["limit"] == 0
    assert made["evaluate"]["retryStrategy"]["limit"] == 1


def test_normalising_takes_out_time_and_chance() -> None:
    first, second = (
        json.dumps({"command": f"python -m metaflow.plugins.argo.set_parameters {name} && . `pwd`/{name}", "at": time})
        for name, time in (("abcdefghij", "2024-05-01T08:00:00.123456+00:00"), ("zyxwvutsrq", "2025-06-02T09:10:11.654321+00:00"))
    )
    assert normalise(first) == normalise(second)
    assert "abcdefghij" not in json.dumps(normalise(first))


def test_the_pod_that_waits_for_a_gang_asks_for_little() -> None:
    big = PodSettings(memory="900Gi", gpus=8)
    assert waiting_pod(LaunchSettings(on="here", pod=big)) == waiting_pod(LaunchSettings(on="slurm", pod=big)) == big
    waits = waiting_pod(LaunchSettings(on="jobset", pod=big))
    assert (waits.memory, waits.gpus) == ("512Mi", 0)
