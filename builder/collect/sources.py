"""Asks every source what it needs. Whoever does not answer may need anything: then nothing is deleted at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.cluster.interface import WideCluster
from builder.collect import archive_side, cluster_side, data_side, git_side, slurm_side
from builder.collect.needs import Needs
from builder.errors import BuilderError, UnansweredError
from builder.launch.slurm.survey import Listed, clusters
from builder.settings import Settings

if TYPE_CHECKING:
    from builder.collect.scene import Scene


def read_needs(scene: Scene, *, quick: bool = False) -> Needs:
    """Everything that is needed; with `quick` only what those need that change from one moment to the next.

    Raises UnansweredError, naming the source, when one cannot be read.
    """
    found: list[Needs] = []
    with _asking():
        require_shared(scene)
        found += git_side.remote_needs(scene.git, scene.settings.gc.remotes)
        found.append(git_side.local_needs(scene.git, scene.since))
        found += _on_slurm_and_in_the_ledger(scene)
        if has_cluster(scene.settings, found[-1]):
            found += _clusters(scene, found[-1].namespaces)
        if not quick:
            found.append(data_side.kept_needs(scene.objects, scene.keep_last))
            if scene.settings.gc.argo_server:
                found.append(archive_side.archive_needs(scene.settings.gc))
    needs = Needs().and_those(found)
    if needs.archived and not quick and not scene.settings.gc.argo_server:
        text = "archives workflows, and [gc] argo_server does not say where: those that only the archive has keep nothing"
        scene.warn(f"Argo in {', '.join(sorted(needs.archived))} {text}")
    return needs


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except UnansweredError:
        raise
    except BuilderError as error:
        raise UnansweredError(f"{error.message}; so nobody knows what is needed, and nothing is deleted", error.hint) from error


def require_shared(scene: Scene) -> None:
    """Raises UnansweredError where others use the store, and their runs cannot be seen."""
    if is_remote(scene.store.hosts) and not scene.objects.name.startswith("s3://"):
        text = f"others use {scene.store.name}, and what they run is not in {scene.objects.name}: nothing is deleted"
        raise UnansweredError(text, 'set [data] root = "s3://bucket/prefix", where everybody\'s runs are written down')


def is_remote(hosts: tuple[str, ...]) -> bool:
    """Whether a registry is known by a name that other machines could use, too."""
    import ipaddress

    def loopback(host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        try:
            return ipaddress.ip_address(name.strip("[]")).is_loopback
        except ValueError:
            return name == "localhost"

    return not all(map(loopback, hosts))


def has_cluster(settings: Settings, runs: Needs) -> bool:
    """Whether settings or runs say that there is one."""
    on_jobset = any(launch.on == "jobset" for launch in settings.launch.values())
    tables = any(settings.origin.get(table, "default") != "default" for table in ("deploy", "devbox", "schedule"))
    return tables or on_jobset or settings.run.on == "argo" or bool(settings.gc.contexts) or bool(runs.namespaces)


def _on_slurm_and_in_the_ledger(scene: Scene) -> Iterator[Needs]:
    """The ledger comes after the jobs, and last: a run whose job has just ended is in it."""
    jobs, unread = Needs(), dict[str, Listed]()
    for found, doubtful in slurm_side.job_needs(scene.settings) if clusters(scene.settings) else ():
        jobs.and_those([found])
        unread |= doubtful
    wanted = {run: reason.text for run, reason in jobs.runs.items()}
    runs = data_side.run_needs(scene.ledger, scene.since, scene.now, wanted)
    slurm_side.refuse_unknown(unread, runs)
    yield jobs
    yield runs


def _clusters(scene: Scene, of_runs: set[str]) -> Iterator[Needs]:
    """The one of [deploy], and those of [gc] contexts."""
    namespaces = sorted({scene.settings.deploy.namespace, *scene.settings.gc.namespaces, *filter(None, of_runs)})
    for context in dict.fromkeys([scene.settings.deploy.context, *scene.settings.gc.contexts]):
        connect = _in(scene.connect, context)
        yield cluster_side.cluster_needs(connect(scene.settings.deploy.namespace), namespaces, connect)


def _in(connect: Callable[[str, str], WideCluster], context: str) -> Callable[[str], WideCluster]:
    return lambda namespace: connect(context, namespace)
