"""What checks look at, and what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from builder.cluster.interface import Cluster
from builder.errors import BuilderError, ClusterError, SettingsError
from builder.settings import Settings
from builder.stores.interface import Store

State = Literal["ok", "failed", "-"]


def _no_cluster() -> Cluster:
    raise ClusterError("no cluster", "set KUBECONFIG")


@dataclass(frozen=True, slots=True)
class Scene:
    """`settings` are the defaults when they cannot be read; then `trouble` says why. `open_store` takes what `--to` takes.

    `open_cluster` opens the namespace of [deploy]. `deep`: a pod may be run in it.
    """

    start: Path
    environ: Mapping[str, str]
    settings: Settings
    open_store: Callable[[str], Store]
    trouble: SettingsError | None = None
    open_cluster: Callable[[], Cluster] = _no_cluster
    deep: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """`ok`, `failed` (something needed does not work: `remedy` says what to do), or `-`: not needed here."""

    state: State
    detail: str
    remedy: str = ""


Look = Callable[[Scene], Found]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report. `by_settings`: it depends on what the settings say, so it is skipped when they cannot be read."""

    group: str
    name: str
    look: Look = field(repr=False)
    by_settings: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """What one check found."""

    check: Check
    found: Found


def ok(detail: str) -> Found:
    return Found("ok", detail)


def failed(detail: str, remedy: str) -> Found:
    return Found("failed", detail, remedy)


def not_needed(detail: str) -> Found:
    return Found("-", detail)


def examine(checks: Sequence[Check], scene: Scene) -> Iterator[Report]:
    """Looks at one after the other. An error of ours is a failed check with its hint; nothing is written anywhere."""
    for check in checks:
        yield Report(check, _look(check, scene))


def _look(check: Check, scene: Scene) -> Found:
    if check.by_settings and scene.trouble is not None:
        return not_needed("not looked at: the settings cannot be read")
    try:
        return check.look(scene)
    except BuilderError as error:
        return failed(error.message, error.hint)
