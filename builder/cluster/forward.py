"""One connection to a port of a pod, through Kubernetes alone. The library speaks the protocol."""

from __future__ import annotations

import socket
import threading
from typing import BinaryIO

from builder.cluster.kubernetes import KubernetesCluster
from builder.errors import ClusterError

_CHUNK = 1 << 16


def carry(cluster: KubernetesCluster, pod: str, port: int, source: BinaryIO, target: BinaryIO) -> None:
    """Carries bytes both ways until the pod's side closes. Raises ClusterError when the port cannot be reached."""
    forwarded = cluster.forward(pod, port)
    connection: socket.socket = forwarded.socket(port)
    threading.Thread(target=_send, args=(source, connection), daemon=True).start()
    while data := connection.recv(_CHUNK):
        target.write(data)
        target.flush()
    if said := forwarded.error(port):
        raise ClusterError(f"port {port} of pod {pod}: {said}", "builder devbox ls says how it stands")


def _send(source: BinaryIO, connection: socket.socket) -> None:
    while data := source.read1(_CHUNK):  # type: ignore[attr-defined]
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
