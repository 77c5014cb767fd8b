"""A docker-registry for one benchmark: its storage goes away with it, and its access log counts requests."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_CONFIG = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "{host}", secret: loopback}}
"""
_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_LINE = re.compile(rb'"(?:GET|HEAD|POST|PUT|PATCH|DELETE) /v2/')


@dataclass(slots=True)
class Registry:
    """`host` is 127.0.0.1:PORT. Remembers which blobs each repository was seen to hold."""

    host: str
    pid: int
    log: Path
    _held: dict[str, set[str]] = field(default_factory=dict)

    def mark(self) -> int:
        """A place in the access log."""
        time.sleep(0.02)  # a line is written after its answer is sent
        return self.log.stat().st_size

    def requests_since(self, mark: int) -> int:
        time.sleep(0.02)
        with self.log.open("rb") as log:
            log.seek(mark)
            return len(_LINE.findall(log.read()))

    def new_bytes(self, repository: str, reference: str) -> int:
        """Bytes of config, layers and manifest of an image that no image asked about before had; compressed, as they travel."""
        held = self._held.setdefault(repository, set())
        new = 0
        for digest, size in self._blobs(repository, reference).items():
            new += 0 if digest in held else size
            held.add(digest)
        return new

    def manifest(self, repository: str, reference: str) -> tuple[Mapping[str, Any], int]:
        """As JSON, and its size."""
        request = urllib.request.Request(f"http://{self.host}/v2/{repository}/manifests/{reference}", headers={"Accept": ", ".join(_TYPES)})
        with urllib.request.urlopen(request, timeout=20) as answer:
            data = answer.read()
        return json.loads(data), len(data)

    def _blobs(self, repository: str, reference: str) -> dict[str, int]:
        found, size = self.manifest(repository, reference)
        blobs = {f"manifest {reference}": size}
        for child in found.get("manifests", ()):
            blobs |= self._blobs(repository, child["digest"])
        for blob in (found["config"], *found["layers"]) if "config" in found else ():
            blobs[blob["digest"]] = blob["size"]
        return blobs


@contextlib.contextmanager
def running(directory: Path) -> Iterator[Registry]:
    """A registry on a free port, until the end of the `with` statement."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    directory.mkdir()
    (directory / "config.yml").write_text(_CONFIG.format(root=directory / "storage", host=host))
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(directory / "config.yml")], stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_for(host, process)
            yield Registry(host, process.pid, directory / "log")
        finally:
            process.terminate()
            process.wait()
            shutil.rmtree(directory, ignore_errors=True)


def _wait_for(host: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(f"http://{host}/v2/", timeout=5):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError("docker-registry did not start")
