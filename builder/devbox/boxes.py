"""What is done with boxes in a cluster: start, look, stop."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from builder.cluster.interface import Cluster
from builder.cluster.kubernetes import no_namespace
from builder.deploy.names import MANAGED
from builder.devbox import contract
from builder.devbox.box import CONTAINER, LABEL, WHO, Box, Wanted, box_of, home_claim, pod, pod_name
from builder.errors import AuthError, ClusterError, UsageError
from builder.model.units import plural
from builder.settings import DevboxSettings

PODS, HOMES = "pods", "persistentvolumeclaims"
_LOOK_EVERY = 1.0
_TIME = re.compile(r"\A\d{4}-\d\d-\d\dT\S+Z ")
_GONE_AFTER = 120.0  # seconds that a node may take to let go of a pod

Tell = Callable[[str], None]


def boxes(cluster: Cluster) -> Iterator[Box]:
    """Everybody's, by name."""
    found = (one for one in cluster.list(PODS, MANAGED) if LABEL in one["metadata"]["labels"])
    yield from sorted(map(box_of, found), key=lambda box: box.name)


def find(cluster: Cluster, name: str) -> Box | None:
    found = cluster.get(PODS, pod_name(name))
    return box_of(found) if found and LABEL in (found["metadata"].get("labels") or {}) else None


def start(cluster: Cluster, wanted: Wanted, settings: DevboxSettings, pull_secrets: tuple[str, ...] = ()) -> bool:
    """Makes the box; False when it is there, starting or running, just so. One that has stopped is made anew, on the same home.

    Raises UsageError when the name is somebody else's, or the box runs another commit, or with other GPUs than were asked for.
    """
    there = find(cluster, wanted.name)
    _same_person(cluster, wanted)
    if there and there.state in ("starting", "running"):
        _same_box(there, wanted)
        return False
    if there:
        _remove_pod(cluster, wanted.name)
    cluster.create(home_claim(wanted.name, wanted.who, cluster.namespace, settings))
    cluster.create(pod(wanted, cluster.namespace, settings, pull_secrets))
    return True


def _same_box(there: Box, wanted: Wanted) -> None:
    hint = f"`builder devbox stop {wanted.name}` first: its home stays; or name another box"
    if there.reference != wanted.reference:
        raise UsageError(f"box {wanted.name} runs {there.commit[:12]} {there.subject}", hint)
    if wanted.gpus is not None and wanted.gpus != there.gpus:
        raise UsageError(f"box {wanted.name} runs with {plural(there.gpus, 'GPU')}", hint)


def _same_person(cluster: Cluster, wanted: Wanted) -> None:
    """The home says whose a name is, also while there is no pod."""
    owner = owner_of(cluster, wanted.name)
    if owner not in ("", wanted.who):
        raise UsageError(f"box {wanted.name} is {owner}'s", "name another one: builder devbox up NAME")


def owner_of(cluster: Cluster, name: str) -> str:
    """Who started it first, by its home, or by the box where there is no home; empty when neither is there."""
    home = cluster.get(HOMES, f"{pod_name(name)}-home")
    owner = str(((home or {}).get("metadata", {}).get("annotations") or {}).get(WHO, ""))
    box = None if owner else find(cluster, name)
    return box.who if box else owner


def check_namespace(cluster: Cluster) -> None:
    """Raises ClusterError when it is not there. An account that may not look is not told."""
    with suppress(AuthError):
        if cluster.get("namespaces", cluster.namespace) is None:
            raise no_namespace(cluster.namespace, cluster.server)


def wait_until_running(cluster: Cluster, name: str, tell: Tell, patience: float) -> Box:
    """Raises ClusterError when it fails, or does not run after `patience` seconds, with what Kubernetes says."""
    deadline, told = time.monotonic() + patience, ""
    while True:
        box = find(cluster, name)
        if box is None:
            raise ClusterError(f"box {name} is gone: somebody stopped it")
        if box.state == "running" or (not box.ssh and _runs(cluster, name)):
            return box
        if box.state in ("failed", "stopped"):
            raise ClusterError(f"box {name} {box.state}: {box.detail}", f"kubectl --namespace {cluster.namespace} logs {pod_name(name)}")
        if box.detail and box.detail != told:
            tell(box.detail)
            told = box.detail
        if time.monotonic() > deadline:
            hint = f"it may still come: builder devbox ls; builder devbox stop {name} gives it up"
            raise ClusterError(f"box {name} does not run after {patience:.0f} s: {box.detail or 'pending'}", hint)
        time.sleep(_LOOK_EVERY)


def _runs(cluster: Cluster, name: str) -> bool:
    return ((cluster.get(PODS, pod_name(name)) or {}).get("status") or {}).get("phase") == "Running"


def stop(cluster: Cluster, name: str, *, home: bool) -> list[str]:
    """Ends the box; with `home` what lies there goes, too. What was removed, in words."""
    removed = ["box"] if cluster.delete(PODS, pod_name(name)) else []
    if home and cluster.delete(HOMES, f"{pod_name(name)}-home"):
        removed.append("home")
    return removed


def has_home(cluster: Cluster, name: str) -> bool:
    return cluster.get(HOMES, f"{pod_name(name)}-home") is not None


def host_key(cluster: Cluster, name: str) -> str:
    """The box's public key, as its log has it: whoever may read it knows the host before he connects. Raises ClusterError."""
    for line in _log(cluster, name):
        if line.startswith(contract.HOST_KEY):
            return line.removeprefix(contract.HOST_KEY)
    raise ClusterError(f"the log of box {name} has no host key", f"builder devbox stop {name}, and up again")


def says(cluster: Cluster, name: str) -> str:
    """The last that it said of itself, without the time; empty when it said nothing."""
    line = next((line for line in reversed(_log(cluster, name)) if not line.startswith(contract.HOST_KEY)), "")
    return _TIME.sub("", line)


def _log(cluster: Cluster, name: str) -> list[str]:
    return b"".join(cluster.log(pod_name(name), CONTAINER)).decode("utf-8", "replace").splitlines()


def _remove_pod(cluster: Cluster, name: str) -> None:
    """Until it is gone: its name is needed again."""
    cluster.delete(PODS, pod_name(name))
    deadline = time.monotonic() + _GONE_AFTER
    while cluster.get(PODS, pod_name(name)) is not None:
        if time.monotonic() > deadline:
            raise ClusterError(f"pod {pod_name(name)} does not go", "is its node still there? `kubectl get nodes`")
        time.sleep(_LOOK_EVERY)
