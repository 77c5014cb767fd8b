"""When jobs move checkpoints themselves, and what they are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.data.checkpoints import Frozen
from builder.errors import LaunchError
from builder.settings import DataSettings, FlowSettings, LaunchSettings, SlurmSettings
from builder.steps.carrying import carried, carries, frozen_by_job, receipt_path
from builder.steps.command import environment_of
from builder.steps.request import InImage, Request
from tests.fixtures.requests import request_in


def on_slurm(tmp_path: Path, root: str = "s3://bucket/x", endpoint: str = "", **slurm: str) -> Request:
    settings = SlurmSettings(bastion="cluster", root="/shared", **slurm)  # type: ignore[arg-type]
    launch = {"finetune": LaunchSettings(on="slurm", slurm=settings)}
    data, image = DataSettings(root, endpoint), InImage("registry.test/x@sha256:" + "1" * 64, "/code")
    return request_in(tmp_path, FlowSettings(checkpoint="runs/*/last"), data=data, launch=launch, environment=image)


def test_only_with_a_key_and_a_data_root_in_s3(tmp_path: Path) -> None:
    assert carries(on_slurm(tmp_path, s3_credentials="~/key"), "finetune")
    assert not carries(on_slurm(tmp_path, s3_credentials="~/key"), "evaluate-click"), "it runs here"
    assert not carries(on_slurm(tmp_path), "finetune")
    assert not carries(on_slurm(tmp_path, str(tmp_path), s3_credentials="~/key"), "finetune")
    assert carried(on_slurm(tmp_path), "finetune", {}, tmp_path) is None


def test_a_job_reaches_the_s3_that_this_process_reaches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://other:1")
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    request, out = on_slurm(tmp_path, s3_credentials="~/key"), tmp_path / "out/checkpoint"
    told = carried(request, "finetune", {}, out)
    assert told is not None
    assert (told.root, told.endpoint, told.region, told.takes) == ("s3://bucket/x", "http://other:1", "eu-central-1", out)
    assert (told.pattern, told.receipt) == ("runs/*/last", receipt_path(request, "finetune"))
    ours = carried(on_slurm(tmp_path, endpoint="http://ours:1", s3_credentials="~/key"), "finetune", {}, out)
    assert ours is not None
    assert ours.endpoint == "http://ours:1"


def test_the_receipt(tmp_path: Path) -> None:
    request = on_slurm(tmp_path, s3_credentials="~/key")
    receipt = receipt_path(request, "finetune")
    with pytest.raises(LaunchError, match="does not say which checkpoint"):
        frozen_by_job(request, "finetune")
    receipt.parent.mkdir(parents=True)
    receipt.write_text(json.dumps({"digest": "sha256:1", "files": 2, "size": 3}))
    assert frozen_by_job(request, "finetune") == Frozen("sha256:1", 2, 3)
    carried(request, "finetune", {}, tmp_path)
    assert not receipt.exists(), "it was of the try before"


def test_the_environment_of_a_command(tmp_path: Path) -> None:
    assert environment_of(on_slurm(tmp_path), "finetune") == {"environment": "not pinned"}
    assert environment_of(on_slurm(tmp_path, container="pyxis"), "finetune") == {"environment": "registry.test/x@sha256:" + "1" * 64}
    assert environment_of(on_slurm(tmp_path), "evaluate-click") == {}
