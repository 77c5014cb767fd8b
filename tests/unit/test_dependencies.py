"""What is imported is declared, and what is declared is imported."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from builder.image.deps.lock import normalise

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
OURS = {"builder", "repo_slim"}
NAMES = {"git": "gitpython", "yaml": "pyyaml", "botocore": "boto3", "s3transfer": "boto3"}  # they come with boto3, and are parts of it


def imported() -> Iterator[str]:
    for path in (path for part in ("builder", "repo_slim", "workflows") for path in (ROOT / part).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield (node.module or "").partition(".")[0]


def test_imports_and_the_declared_dependencies_are_the_same() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {normalise(re.split(r"[^\w.-]", line)[0]) for line in project["dependencies"]}
    used = {NAMES.get(name, normalise(name)) for name in set(imported()) - OURS - sys.stdlib_module_names}
    assert used - {"tomllib"} == declared
