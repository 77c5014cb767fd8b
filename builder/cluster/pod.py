"""What a pod asks the cluster for, as the settings say it."""

from __future__ import annotations

from typing import Any

from builder.settings import PodSettings


def resources(pod: PodSettings) -> dict[str, Any]:
    """Of a container. What may be used without having been asked for is CPU alone."""
    amounts = {"cpu": pod.cpu, "memory": pod.memory, **({"ephemeral-storage": pod.disk} if pod.disk else {})}
    return {"requests": amounts, "limits": {"memory": pod.memory, **({pod.gpu_resource: str(pod.gpus)} if pod.gpus else {})}}


def toleration(text: str) -> dict[str, str]:
    """`key`, `key=value`, `key=value:Effect`, `key:Effect`."""
    rest, _, effect = text.partition(":")
    key, equals, value = rest.partition("=")
    found = {"key": key, "operator": "Equal" if equals else "Exists"}
    return {**found, **({"value": value} if equals else {}), **({"effect": effect} if effect else {})}
