"""A Docker engine that has nothing yet, as on a CI machine that has just been started."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_QUIET = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")
"""It touches nothing of the machine's network."""


@contextlib.contextmanager
def engine(docker: str, containerd: str, insecure: str) -> Iterator[str]:
    """`unix://...` of one, on the `containerd` that is there, in a namespace of its own; gone at the end. Needs root.

    `insecure`: the registry that it may speak http:// to.
    """
    folder = Path(tempfile.mkdtemp(prefix="bench-docker-"))
    socket = f"unix://{folder}/docker.sock"
    (folder / "daemon.json").write_text(json.dumps({"insecure-registries": [insecure]}))
    places = (
        "--data-root",
        folder / "data",
        "--exec-root",
        folder / "exec",
        "--pidfile",
        folder / "pid",
        "--config-file",
        folder / "daemon.json",
    )
    space = folder.name
    argv = ["dockerd", *map(str, places), "--host", socket, "--containerd", containerd, "--storage-driver", "overlay2", *_QUIET]
    argv += ["--containerd-namespace", space, "--containerd-plugins-namespace", f"{space}-plugins"]
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_for(docker, socket, daemon, folder / "log")
        yield socket
    finally:
        daemon.terminate()
        daemon.wait()
        for name in (space, f"{space}-plugins"):
            subprocess.run(["ctr", "--address", containerd, "namespaces", "rm", name], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(docker: str, socket: str, daemon: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        if subprocess.run([docker, "--host", socket, "version"], check=False, capture_output=True).returncode == 0:
            return
        if daemon.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"dockerd did not start: {log.read_text()[-500:]}")
