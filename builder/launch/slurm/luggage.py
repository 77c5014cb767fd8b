"""What moves files between a job and the data root, as Python files that any cluster can run: this tool's own reader of S3, and boto3.

They come from where this process has them, a laptop or a pod's tool layers. All are plain Python, so they run with whatever Python from
3.10 on the job has; of botocore's descriptions of services only that of S3 goes along.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import builder
from builder.errors import LaunchError
from builder.launch.slurm.bastion import Bastion
from builder.launch.slurm.code import bring_code, tree_of

FOLDER = "tools"
_OWN = ("__init__.py", "aws.py", "errors.py", "own_folder.py", "model", "data", "settings", "launch")
_PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3")
_BESIDE = {"botocore": ("cacert.pem", "data/*.json", "data/s3/**/*")}
_MAIN = "from builder.launch.slurm.aboard import main\n\nmain()\n"


def bring_tool(bastion: Bastion) -> str:
    """The directory on the cluster that holds it; brought if it is not there. Raises LaunchError."""
    with tempfile.TemporaryDirectory(prefix="builder-luggage-") as scratch:
        for name, file in files():
            target = Path(scratch) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        (Path(scratch) / "__main__.py").write_text(_MAIN)
        return f"{bastion.settings.root}/{FOLDER}/{bring_code(bastion, tree_of(Path(scratch)), FOLDER).name}"


def files() -> Iterator[tuple[str, Path]]:
    """Names below the directory, and where they are here."""
    top = Path(builder.__file__).parent
    for part in _OWN:
        for path in [top / part] if part.endswith(".py") else (top / part).rglob("*.py"):
            yield f"builder/{path.relative_to(top)}", path
    for package in _PACKAGES:
        yield from _of_package(package)


def _of_package(package: str) -> Iterator[tuple[str, Path]]:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise LaunchError(f"{package} is not installed here, which jobs need to reach S3", "install this tool anew")
    origin = Path(spec.origin)
    if origin.name != "__init__.py":
        yield origin.name, origin
        return
    for pattern in ("**/*.py", *_BESIDE.get(package, ())):
        for path in origin.parent.glob(pattern):
            if path.is_file():
                yield f"{package}/{path.relative_to(origin.parent)}", path
