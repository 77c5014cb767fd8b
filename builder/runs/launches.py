"""Where the steps of a run are executed: as the settings and the command line have it, and whether that can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from builder.errors import SettingsError, UsageError
from builder.model.run import STEPS
from builder.settings import LaunchSettings, Settings, SlurmSettings

PLACES = ("here", "slurm", "jobset")

_OF_MOUNTS = ":,"
"""What stands between the parts of a mount."""


def placed(launch: Mapping[str, LaunchSettings], words: Sequence[str]) -> dict[str, LaunchSettings]:
    """[launch] with what `--place STEP=WHERE` says. Raises UsageError on what is no step, or no place."""
    found = dict(launch)
    for word in words:
        step, _, where = word.partition("=")
        if step.partition("-")[0] not in STEPS or where not in PLACES:
            raise UsageError(f"--place {word} is not STEP=WHERE", f"steps: {', '.join(STEPS)}; places: {', '.join(PLACES)}")
        before = found.get(step) or found.get("default") or LaunchSettings()
        found[step] = replace(before, on=where)  # type: ignore[arg-type]  # one of PLACES
    return found


def waiting_for_nodes(launch: Mapping[str, LaunchSettings]) -> dict[str, LaunchSettings]:
    """[launch] as `--wait-for-nodes` has it, wherever steps run on Slurm, or as a gang of pods."""
    return {
        step: replace(settings, slurm=replace(settings.slurm, wait_for_nodes=True), jobset=replace(settings.jobset, wait_for_nodes=True))
        for step, settings in launch.items()
    }


def check_places(launch: Mapping[str, LaunchSettings], on: str) -> None:
    """Raises SettingsError when a step of a run on this target is to run where this version cannot take it."""
    for step, settings in launch.items():
        if settings.on == "jobset" and not settings.jobset.queue:
            hint = "the LocalQueue of Kueue: pods without one begin at once, outside of every quota, and not together"
            raise SettingsError(f"[launch.{step}] on = 'jobset' needs [launch.{step}.jobset] queue", hint)
        if settings.on == "slurm":
            _check_slurm(f"launch.{step}", settings.slurm, on)


def has_gangs(launch: Mapping[str, LaunchSettings]) -> bool:
    return any(settings.on == "jobset" for settings in launch.values())


def check_gangs(settings: Settings, on: str) -> None:
    """Raises SettingsError where pods of a gang could not meet the step that waits for them."""
    if not has_gangs(settings.launch):
        return
    if not settings.data.root.startswith("s3://"):
        hint = 'set root = "s3://bucket/prefix"'
        raise SettingsError(f"[data] root is {settings.data.root}: pods of a gang cannot reach a directory of this machine", hint)
    if on == "docker":
        raise SettingsError("a container has no kubeconfig with which it could start a gang of pods", "--on local, or --on argo")


def _check_slurm(where: str, slurm: SlurmSettings, on: str) -> None:
    if not (slurm.bastion and slurm.root):
        raise SettingsError(
            f"[{where}] on = 'slurm' needs [{where}.slurm] bastion and root", "the host that has sbatch, and a directory there"
        )
    if slurm.container != "none" and set(slurm.root) & set(_OF_MOUNTS):
        raise SettingsError(f"[{where}.slurm] root = {slurm.root!r} cannot be mounted", "a directory without colons and commas")
    if on != "local" and not (slurm.identity_env and slurm.host_key and slurm.user):
        hint = "a pod or container has neither your ssh config nor your agent"
        raise SettingsError(f"[{where}.slurm] needs user, identity_env and host_key in a run on {on}", hint)


def needs_environment(launch: Mapping[str, LaunchSettings]) -> bool:
    """Whether a step runs in a container of a cluster, for which there must be an image without the commit's files."""
    return any(settings.on == "slurm" and settings.slurm.container != "none" for settings in launch.values())
