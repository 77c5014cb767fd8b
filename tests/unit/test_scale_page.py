"""The numbers of docs/explanation/scale.md are what its script makes of its constants."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

SCRIPTS = Path(__file__).parents[2] / "docs" / "scale"


@pytest.fixture(scope="module")
def scale() -> ModuleType:
    """The script: docs is no package."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        spec = importlib.util.spec_from_file_location("scale", SCRIPTS / "write.py")
        assert spec and spec.loader
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(SCRIPTS))
    return module


def test_the_page_is_what_the_script_writes() -> None:
    made = subprocess.run([sys.executable, SCRIPTS / "write.py", "--check"], check=False)
    assert made.returncode == 0, "run docs/scale/write.py"


def test_another_team_is_printed(scale: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert scale.main(["--commits", "50", "--people", "10"]) == 0
    assert "50 commits a day, 10 people" in capsys.readouterr().out


def test_every_constant_says_where_it_is_from(scale: ModuleType) -> None:
    for name, known in scale.CONSTANTS.items():
        assert known.source.startswith(("measured", "cited", "assumed")), name
        assert known.value > 0, name


@given(
    starts=st.lists(st.floats(0, 100), min_size=1, max_size=40).map(sorted),
    size=st.floats(1, 1e4),
    most=st.floats(0.5, 1e3),
    link=st.floats(0.5, 1e4),
)
def test_downloads_share_a_link_and_no_more(scale: ModuleType, starts: list[float], size: float, most: float, link: float) -> None:
    ends = sys.modules["simulation"].share(starts, size, most, link)
    took = max(ends) - starts[0]
    assert took >= len(starts) * size / link * 0.999, "more went over the link than it carries"
    assert all(end - start >= size / min(most, link) * 0.999 for start, end in zip(starts, ends, strict=True))
    assert all(later >= earlier * 0.999 for earlier, later in pairwise(ends)), "who comes first ends first: all get the same"
    assert max(ends) <= starts[-1] + len(starts) * size / min(most, link) * 1.001, "the link was idle while somebody waited"
