"""Runs inside of a job: brings checkpoints from the data root, or takes the one that the command left there.

`python -I -B TOOL in|out JOB TREE`, with the cluster's own credentials and what `carries.json` in the job's directory says. Whatever is
printed is in the job's log.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from builder.errors import BuilderError, DataError

CARRIES = "carries.json"
_CREDENTIALS = "AWS_SHARED_CREDENTIALS_FILE"


def main() -> None:
    verb, job, tree = sys.argv[1:]
    told = json.loads((Path(job) / CARRIES).read_bytes())
    _only_the_file(os.environ, told.get("region", ""))
    work: Callable[..., None] = {"in": bring, "out": take}[verb]
    try:
        work(told, Path(job) / "files", Path(tree))
    except BuilderError as error:
        _say(f"error: {error.message}{f'; {error.hint}' if error.hint else ''}")
        sys.exit(1)


def bring(told: Mapping[str, Any], files: Path, _: Path) -> None:
    """What is there already, of a job that began before, is only verified."""
    from builder.data.checkpoints import materialise

    for name, digest in told["brings"].items():
        began = time.monotonic()
        materialise(_root(told), digest, files / name)
        _say(f"brought checkpoint {digest} in {time.monotonic() - began:.1f} s")


def take(told: Mapping[str, Any], files: Path, tree: Path) -> None:
    """Frozen once, it costs nothing to do so again."""
    from builder.data.checkpoints import freeze

    began, directory = time.monotonic(), _left(told, files, tree)
    frozen = freeze(_root(told), directory)
    receipt = files / told["receipt"]
    receipt.parent.mkdir(parents=True, exist_ok=True)
    receipt.write_text(json.dumps({"digest": frozen.digest, "files": frozen.files, "size": frozen.size}))
    _say(f"took checkpoint {frozen.digest} ({frozen.size} bytes) to the data root in {time.monotonic() - began:.1f} s")


def _left(told: Mapping[str, Any], files: Path, tree: Path) -> Path:
    """The directory that the contract names, else the newest that the settings' pattern finds in the tree."""
    directory: Path = files / told["takes"]
    if directory.is_dir() and any(directory.iterdir()):
        return directory
    found = [path for path in tree.glob(told["pattern"]) if path.is_dir() and any(path.iterdir())] if told["pattern"] else []
    if not found:
        what = f"no directory matches {told['pattern']}" if told["pattern"] else "it left nothing where $BUILDER_CHECKPOINT says"
        raise DataError(f"the command ended well but left no checkpoint: {what}")
    return max(found, key=lambda path: path.stat().st_mtime)


def _root(told: Mapping[str, Any]) -> Any:
    from builder.data.open import open_root

    return open_root(told["root"], Path("/"), told["endpoint"])


def _only_the_file(environ: Any, region: str) -> None:
    """The credentials are those of the file, whatever else is set; a node of a cluster is nobody's cloud machine."""
    file = environ.get(_CREDENTIALS, "")
    for name in [name for name in environ if name.startswith("AWS_")]:
        del environ[name]
    environ |= {_CREDENTIALS: file, "AWS_CONFIG_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}
    if region:
        environ["AWS_DEFAULT_REGION"] = region


def _say(text: str) -> None:
    sys.stdout.write(f"builder: {text}\n")
    sys.stdout.flush()
