"""Which wheels are installed."""

from __future__ import annotations

import pytest

from builder.errors import DepsError
from builder.image.deps.install import tag


def test_wheels_are_chosen_by_platform() -> None:
    assert tag("linux/amd64") == "x86_64-manylinux_2_28"
    assert tag("linux/arm64") == tag("linux/arm64/v8") == "aarch64-manylinux_2_28"


@pytest.mark.parametrize("platform", ["linux/arm/v7", "linux/arm64/v9", "linux/s390x", "windows/amd64"])
def test_others_are_refused(platform: str) -> None:
    with pytest.raises(DepsError, match=f"cannot be installed for {platform}"):
        tag(platform)
