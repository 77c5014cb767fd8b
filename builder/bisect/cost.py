"""What runs will cost, from what past ones took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from builder.bisect.hunt import Need
from builder.bisect.metric import Metric
from builder.model.run import TRAINING
from builder.model.units import duration
from builder.runs.history import Seen, newest_first, seconds_working
from builder.settings import LaunchSettings, Settings
from builder.steps.explain import seconds_between

_LOOKED_AT = 60
"""How many past runs tell what one takes: the last."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What one run takes, the median of past ones: seconds from its first step to its end, and seconds of GPUs; None: nobody knows."""

    seconds: float | None = None
    gpu_seconds: float | None = None


def usual_of(runs: Iterable[Seen], on: str, metric: Metric, settings: Settings) -> Usual:
    """Of runs of one flow those that succeeded there, and did all of their steps."""
    done = [seen for seen in newest_first(runs) if seen.on == on and seen.state == "succeeded" and not seen.origin.get("retried")]
    if not done:
        return Usual()
    last = done[:_LOOKED_AT]
    return Usual(median(map(seconds_working, last)), median(gpu_seconds(seen, metric, settings) for seen in last))


def gpu_seconds(seen: Seen, metric: Metric, settings: Settings) -> float:
    """What training and the evaluation that is asked for took, with the GPUs that today's settings give them."""
    steps = [step for step in seen.records if step in TRAINING or step == f"evaluate-{metric.name}"]
    return sum(gpus(settings, step, seen.on) * (seconds_between(seen.records[step]) or 0.0) for step in steps)


def gpus(settings: Settings, step: str, on: str) -> int:
    """How many the settings give to a step; of this machine's own nobody knows how many a command takes."""
    launch = _launching(settings.launch, step)
    if launch.on == "slurm":
        return launch.slurm.gpus_per_node * launch.slurm.nodes
    if launch.on == "jobset":
        return launch.pod.gpus * launch.jobset.nodes
    if on == "docker":
        return int(settings.run.docker.gpus) if settings.run.docker.gpus.isdigit() else 0
    return launch.pod.gpus if on == "argo" else 0


def _launching(launch: Mapping[str, LaunchSettings], step: str) -> LaunchSettings:
    return next((launch[name] for name in (step, step.partition("-")[0], "default") if name in launch), LaunchSettings())


def words_of(need: Need, usual: Usual) -> str:
    """`6 runs, about 11 h, 88 GPU-h`; `12 to 18 runs, about ...` where repeats may agree early."""
    runs = f"{need.low} to {need.high} runs" if need.high > need.low else f"{need.high} run{'' if need.high == 1 else 's'}"
    if usual.seconds is None:
        return f"{runs}; how long one takes is not known: none has succeeded there yet"
    hours = (usual.gpu_seconds or 0.0) * need.high / 3600
    charge = f", {'at most ' if need.high > need.low else ''}{_hours(hours)} GPU-h" if hours else ""
    return f"{runs}, about {about(need.rounds * usual.seconds)}{charge}"


def about(seconds: float) -> str:
    """No more exact than it is known: `11 h` from ten hours on, `1 h 40 min` before."""
    return f"{round(seconds / 3600)} h" if seconds >= 36_000 else duration(seconds)


def _hours(hours: float) -> str:
    return f"{hours:.0f}" if hours >= 10 else f"{hours:.1f}" if hours >= 0.1 else "less than 0.1"
