"""What a step leaves in the data root for people: `runs/<run>/<step>/<name>`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from builder.steps.request import Request
from builder.steps.root import objects_of


def published(run: str, step: str, name: str) -> str:
    """The key of a step's file; the step is empty for the run's own files."""
    return "/".join(part for part in ("runs", run, step, name) if part)


def publish(request: Request, step: str, files: Mapping[str, Path]) -> None:
    """Copies the files that are there. Written again, a file is replaced: a step's later try has the last word."""
    for name, path in files.items():
        if path.exists():
            objects_of(request).put_file(published(request.run, step, name), path, _sha256(path))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _in_chunks(path)


def _in_chunks(path: Path) -> str:
    """hashlib.file_digest came with Python 3.11."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
