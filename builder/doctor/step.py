"""The checks of one step, where it is to run: on Slurm, or in a pod of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from builder.doctor import cluster, deep
from builder.doctor.pod import InPod, pulls
from builder.doctor.scene import Check, Look, Scene
from builder.doctor.slurm import OnSlurm
from builder.settings import LaunchSettings, Settings
from builder.steps.config import flat, load, read_file

PLACES = ("slurm", "pod")


def launching(settings: Settings, step: str) -> LaunchSettings:
    """As steps are told it: `evaluate-click` is `evaluate` where it has no table of its own."""
    names = (step, step.partition("-")[0], "default")
    return next((settings.launch[name] for name in names if name in settings.launch), LaunchSettings())


@contextmanager
def checks_of_step(step: str, place: str, scene: Scene) -> Iterator[tuple[Check, ...]]:
    """For a place of PLACES; empty: where the settings have the step run."""
    launch = launching(scene.settings, step)
    where = place or ("slurm" if launch.on == "slurm" else "pod")
    if where == "pod":
        yield _in_pod(step, launch)
        return
    there = OnSlurm(step, launch, lambda: paths_of(scene))
    try:
        yield _on_slurm(step, there)
    finally:
        there.close()


def _on_slurm(step: str, there: OnSlurm) -> tuple[Check, ...]:
    looks: dict[str, Look] = {
        "settings": there.settings,
        "host key": there.host_key,
        "slurm": there.slurm,
        "partition": there.partition,
        "gpus": there.gpus,
        "job": there.job,
        "container": there.container,
        "root": there.root,
        "quota": there.quota,
        "paths": there.paths,
        "accounting": there.accounting,
    }
    return tuple(Check(f"{step} on Slurm", name, look) for name, look in looks.items())


def _in_pod(step: str, launch: LaunchSettings) -> tuple[Check, ...]:
    own = InPod(step, launch)
    looks: dict[str, Look] = {
        "namespace": cluster.reachable.__wrapped__,  # type: ignore[attr-defined]  # asked for, it is needed
        "accounts": cluster.accounts.__wrapped__,  # type: ignore[attr-defined]
        "nodes": own.nodes,
        "gpus": own.gpus,
        "pulling": pulls,
        "pods": deep.pods.__wrapped__,  # type: ignore[attr-defined]
    }
    return tuple(Check(f"{step} in a pod", name, look) for name, look in looks.items())


def paths_of(scene: Scene) -> dict[str, str]:
    """Absolute paths in the configurations of the flows, as they are in the working tree. Raises SettingsError on one that is damaged."""
    found: dict[str, str] = {}
    for name, flow in scene.settings.flow.items():
        if flow.file:
            continue
        values = flat(load(flow.config, lambda path: read_file(scene.settings.root, path), (), flow.defaults).values)
        found |= {f"{name}: {key}": value for key, value in values.items() if isinstance(value, str) and value.startswith("/")}
    return found
