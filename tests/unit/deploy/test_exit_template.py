"""What looks after a run's end: its own image, by digest, and no other; and how long a pod may take to begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.deploy.exit_handler import EXIT, exit_template
from builder.deploy.isolate import check_pinned, for_built_in
from builder.deploy.pods import start_limit
from builder.deploy.render import Release
from builder.errors import DeployError
from builder.settings import DeploySettings, NotifySettings, QueueSettings
from tests.fixtures.requests import request_in

HANDLER = f"registry.test/x@sha256:{'1' * 64}"


def release(tmp_path: Path, handler: str = HANDLER) -> Release:
    request = request_in(tmp_path, notify=NotifySettings(secret="slack"))
    return Release(request, 0, DeploySettings(pending_timeout="2m"), QueueSettings(), for_built_in("/work"), handler)


def manifest(**images: str) -> dict[str, object]:
    templates = [{"name": name.replace("_", "-"), "container": {"image": image}} for name, image in images.items()]
    return {"spec": {"templates": templates}}


def test_it_runs_in_its_own_image_with_the_secret_and_not_for_ever(tmp_path: Path) -> None:
    template = exit_template(release(tmp_path))
    assert template["container"]["image"] == HANDLER
    assert template["activeDeadlineSeconds"] == 120
    assert {"secretRef": {"name": "slack", "optional": True}} in template["container"]["envFrom"]
    assert exit_template(release(tmp_path, ""))["container"]["image"] == release(tmp_path).request.reference


def test_the_first_step_has_so_long_to_begin() -> None:
    assert start_limit(DeploySettings(pending_timeout="90s")) == {"activeDeadlineSeconds": 90}


def test_every_other_image_is_the_commits(tmp_path: Path) -> None:
    ours = release(tmp_path).request.reference
    check_pinned(manifest(start=ours, builder_exit=HANDLER), ours, {EXIT: HANDLER})
    for wrong in (
        manifest(start=HANDLER, builder_exit=HANDLER),
        manifest(start=ours, builder_exit=ours),
        manifest(start=ours, other=HANDLER),
        manifest(start=ours, builder_exit="registry.test/x:latest"),
    ):
        with pytest.raises(DeployError, match="not the commit's image"):
            check_pinned(wrong, ours, {EXIT: HANDLER})
    with pytest.raises(DeployError, match="names no digest"):
        check_pinned(manifest(start=ours), ours, {EXIT: "registry.test/x:latest"})
