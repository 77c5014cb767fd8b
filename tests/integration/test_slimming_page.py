"""The page that says why naive stripping falsifies a history: what it shows is what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.fixtures.repositories import CLEAN

PAGE = Path(__file__).parents[2] / "docs/explanation/slimming.md"


def test_the_reproduction(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    (script,) = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    environ = {**os.environ, **CLEAN, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("small")
    assert "The last line prints `small`" in page
    assert len(script.splitlines()) <= 10
