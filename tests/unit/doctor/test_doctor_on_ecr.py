"""`builder doctor` and lifecycle policies of ECR: which rules would take an image that something names by digest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.cli.wiring import open_store
from builder.doctor import CHECKS, Scene, ecr
from builder.errors import StoreError
from builder.settings import Settings, StoreSettings
from builder.stores.registry.lifecycle import harmful_rules
from tests.fixtures.registry_kinds import ECR

COMMITS = "images of commits"
ALL = (COMMITS, "dependencies", "tool layers", "bases", "handlers", "dev boxes")


def rule(status: str = "tagged", number: int = 1, action: str = "expire", **selection: Any) -> dict[str, Any]:
    chosen = {"tagStatus": status, "countType": "imageCountMoreThan", "countNumber": 100, **selection}
    return {"rulePriority": number, "description": "x", "selection": chosen, "action": {"type": action}}


def policy(*rules: dict[str, Any]) -> str:
    return json.dumps({"rules": rules})


@pytest.mark.parametrize(
    ("one", "takes"),
    [
        (rule("any"), ALL),
        (rule("untagged"), ()),
        (rule(tagPatternList=["*"]), ALL),
        (rule(tagPatternList=["release-*"]), ()),
        (rule(tagPatternList=["a*"]), (COMMITS,)),
        (rule(tagPrefixList=["a"]), (COMMITS,)),
        (rule(tagPrefixList=["g"]), ()),
        (rule(tagPrefixList=["deps"]), ("dependencies",)),
        (rule(tagPrefixList=["d"]), (COMMITS, "dependencies", "dev boxes")),  # the first digit of a sha, too
        (rule(tagPrefixList=["f" * 40]), (COMMITS,)),
        (rule(tagPrefixList=["f" * 41]), ()),
        (rule(tagPatternList=["*-*"]), ALL),
        (rule(tagPatternList=["*-*-*"]), ("tool layers",)),  # tool-0.1.0-cp311-amd64
        (rule(tagPatternList=["*e-*"]), (COMMITS, "tool layers", "bases")),
        (rule(tagPatternList=["*-ffff"]), ("tool layers",)),
        (rule(tagPatternList=["base-*0"]), ("bases",)),
        (rule(tagPatternList=["a*", "prod*"]), ()),  # an image must have tags for all of them
        (rule(tagPatternList=["a*", "*-*f"]), (COMMITS,)),
        (rule(tagPatternList=["v1.2.3"]), ()),
        (rule(tagPatternList=[f"{'a' * 40}"]), (COMMITS,)),
    ],
)
def test_which_images_a_rule_could_take(one: dict[str, Any], takes: tuple[str, ...]) -> None:
    assert [found.takes for found in harmful_rules(policy(one))] == ([takes] if takes else [])


@pytest.mark.parametrize(
    ("one", "does"),
    [
        (rule("any"), "deletes all but the newest 100"),
        (rule("any", countType="sinceImagePushed", countUnit="days", countNumber=14), "deletes 14 days after the push"),
        (rule("any", countType="sinceImagePulled", countUnit="days"), "deletes 100 days after the last pull"),
        (rule("any", action="transition", countType="sinceImagePulled", countUnit="days"), "archives 100 days after the last pull"),
    ],
)
def test_what_it_does_is_told(one: dict[str, Any], does: str) -> None:
    assert [found.does for found in harmful_rules(policy(one))] == [does]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"rules": 1}', '{"rules": [1]}', '{"rules": [{}]}', '{"rules": [{"selection": []}]}']
)
def test_what_is_no_policy(text: str) -> None:
    with pytest.raises(StoreError) as caught:
        harmful_rules(text)
    assert caught.value.hint


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import boto3
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        yield boto3.client("ecr", region_name="eu-west-1")


def scene(tmp_path: Path, to: str = str(ECR)) -> Scene:
    settings = Settings(root=tmp_path, store=StoreSettings(to=to))
    return Scene(tmp_path, {}, settings, lambda text: open_store(text, settings))


def test_a_policy_that_would_delete_pinned_images(tmp_path: Path, aws: Any) -> None:
    aws.create_repository(repositoryName=ECR.name)
    harmless = rule("untagged", countType="sinceImagePushed", countUnit="days", countNumber=1)
    aws.put_lifecycle_policy(repositoryName=ECR.name, lifecyclePolicyText=policy(harmless, rule("any", number=20)))
    found = ecr.lifecycle(scene(tmp_path))
    assert found.state == "failed"
    assert "rule 20 deletes all but the newest 100: images of commits, dependencies" in found.detail
    assert "rule 1 " not in found.detail
    assert "delete-lifecycle-policy --repository-name team/app" in found.remedy


@pytest.mark.parametrize("with_rule", [True, False])
def test_a_policy_that_is_harmless_or_none(tmp_path: Path, aws: Any, with_rule: bool) -> None:
    aws.create_repository(repositoryName=ECR.name)
    if with_rule:
        aws.put_lifecycle_policy(repositoryName=ECR.name, lifecyclePolicyText=policy(rule("untagged")))
    assert ecr.lifecycle(scene(tmp_path)).state == "ok"


def test_no_repository_yet(tmp_path: Path, aws: Any) -> None:
    assert ecr.lifecycle(scene(tmp_path)).state == "ok"


def test_who_may_not_read_it_is_told_so(tmp_path: Path, aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError

    def refuse(self: BaseClient, operation: str, asked: object) -> object:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    found = ecr.lifecycle(scene(tmp_path))
    assert found.state == "-"
    assert "AccessDeniedException" in found.detail


@pytest.mark.parametrize("to", ["", "oci:images", "docker:", "registry.example/team/app"])
def test_other_stores_have_none(tmp_path: Path, to: str) -> None:
    assert ecr.lifecycle(scene(tmp_path, to)).state == "-"


def test_it_is_among_the_checks() -> None:
    assert "lifecycle" in [check.name for check in CHECKS]
