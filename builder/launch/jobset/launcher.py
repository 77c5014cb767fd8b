"""The verbs, as a JobSet. Each attempt of a step has one name: whoever comes again with it finds the gang, and starts no second."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from builder.cluster.interface import Cluster
from builder.data.interface import Objects
from builder.errors import ClusterError, LaunchError
from builder.launch.interface import Finished, Job
from builder.launch.jobset import states
from builder.launch.jobset.files import Gang
from builder.launch.jobset.logs import Logs
from builder.launch.jobset.manifest import JOB, KIND, OF_RUN, OF_STEP, Pods, jobset, name_of
from builder.launch.looks import looked_at
from builder.settings import JobSetSettings, PodSettings

_KILLED = Finished(-signal.SIGTERM, end="killed")
_LOST = Finished(-signal.SIGTERM, end="lost")

Say = Callable[[str], None]


@dataclass
class JobSets:
    """Gangs of one run. `pod` is what each pod asks for, `pods` what all of them have; `say` is told what one waits for.

    `echo`: what the pods write goes to this process's stdout, too.
    """

    cluster: Cluster
    objects: Objects
    run: str
    settings: JobSetSettings
    pod: PodSettings
    pods: Pods
    say: Say = lambda _: None
    echo: bool = False
    outlives = True
    _jobs: dict[str, Job] = field(default_factory=dict)
    _logs: dict[str, Logs] = field(default_factory=dict)
    _cancelled: set[str] = field(default_factory=set)
    _said: str = ""

    def submit(self, job: Job) -> str:
        name = name_of(self.run, job.name, job.attempt)
        self._jobs[name] = job
        self._logs[name] = Logs(self.cluster, self.settings.nodes > 1)
        job.log.parent.mkdir(parents=True, exist_ok=True)
        job.log.write_bytes(b"")  # what there is is read from the beginning
        if self.cluster.get(KIND, name) is None and self._marked(name) is None:
            gang = self._gang(name)
            gang.forget()
            gang.send(job, self.settings.nodes)
            self._create(name, job)
        return name

    def poll(self, handle: str, seconds: float) -> Finished | None:
        return looked_at(lambda _: self._seen(handle), seconds)

    def cancel(self, handle: str) -> None:
        self._cancelled.add(handle)
        self.cluster.delete(KIND, handle)

    # starting

    def _gang(self, name: str) -> Gang:
        return Gang(self.objects, name)

    def _create(self, name: str, job: Job) -> None:
        labels = {OF_RUN: self.run, OF_STEP: job.name}
        pods = replace(self.pods, env={**(self.pods.env or {}), JOB: name})
        manifest = jobset(name, self.cluster.namespace, labels, self.settings, self.pod, pods)
        try:
            self.cluster.create(manifest)
        except ClusterError as error:
            if self.cluster.get(KIND, name) is None:  # it may have got through although nobody heard the answer
                raise LaunchError(f"{self.run}: step {job.name}: {error.message}", "are JobSet and Kueue in the cluster?") from error

    # following

    def _seen(self, name: str) -> Finished | None:
        try:
            return self._look(name)
        except ClusterError as error:  # the gang goes on without anybody who looks
            self._say(f"the cluster does not answer; the gang may go on: {error.message}")
            return None

    def _look(self, name: str) -> Finished | None:
        found = self.cluster.get(KIND, name)
        if found is None:
            return self._gone(name)
        pods = list(self.cluster.list("pods", {states.OF_JOBSET: name}))
        self._copy(name, pods)
        if states.is_leaving(found):
            return None
        ended = states.ended(found)
        if ended:
            self._copy(name, pods)
            self._collect(name)
            return Finished(0) if ended == "Completed" else self._failed(name, pods)
        return self._open(name, found, pods)

    def _open(self, name: str, found: dict[str, Any], pods: list[dict[str, Any]]) -> Finished | None:
        workload = next(iter(self.cluster.list("workloads", {states.OF_JOB: found["metadata"]["uid"]})), None)
        if why := states.evicted(workload):
            self._say(f"gang {name} was taken off its nodes: {why}")
            self.cluster.delete(KIND, name)  # else Kueue would start it again by itself
            self._gang(name).forget()
            return _LOST
        waits = states.waiting(workload) if self.settings.queue else None
        if waits is None:
            begun = sum(map(states.has_begun, pods))
            held = states.unready(pods)
            self._say(f"gang {name}: {begun} of {self.settings.nodes} pods have begun{f'; {held}' if held else ''}")
            return None
        self._say(f"gang {name} waits in queue {self.settings.queue}: {waits.why}")
        if waits.never and not self.settings.wait_for_nodes:
            self.cluster.delete(KIND, name)
            step = self._jobs[name].name
            hint = "ask for less: [launch.STEP.jobset] nodes, [launch.STEP.pod] gpus; or wait until there is more: --wait-for-nodes"
            raise LaunchError(f"{self.run}: step {step} can never start in queue {self.settings.queue}: {waits.why}", hint)
        return None

    def _gone(self, name: str) -> Finished:
        """Somebody deleted it, or it has stayed as long as an ended one does; its ranks may have written down how they ended."""
        if name in self._cancelled:
            return _KILLED
        ended = self._marked(name)
        if ended is None:
            raise LaunchError(
                f"{self.run}: JobSet {name} is gone, and its ranks have not said how they ended", "somebody deleted it", "lost"
            )
        self._collect(name)
        return ended

    def _marked(self, name: str) -> Finished | None:
        gang = self._gang(name)
        failure = gang.failure()
        if failure is not None:
            return Finished(failure["code"], end=failure["end"])
        return Finished(0) if gang.finished() >= self.settings.nodes else None

    def _failed(self, name: str, pods: list[dict[str, Any]]) -> Finished:
        """Ranks fail when another one is taken from them: what happened to pods from outside counts first."""
        if states.is_disrupted(pods):
            return _LOST
        if states.ran_out_of_memory(pods):
            return Finished(-signal.SIGKILL, end="memory")
        return self._marked(name) or _LOST

    def _copy(self, name: str, pods: list[dict[str, Any]]) -> None:
        text = self._logs[name].new(pods)
        with self._jobs[name].log.open("ab") as file:
            file.write(text)
        if self.echo and text:
            sys.stdout.buffer.write(text)
            sys.stdout.flush()

    def _collect(self, name: str) -> None:
        self._gang(name).collect(self._jobs[name].base)

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self.say(text)


def cancel_all(cluster: Cluster, run: str) -> None:
    """Ends every gang of the run that has not ended. Raises ClusterError, AuthError."""
    for found in list(cluster.list(KIND, {OF_RUN: run})):
        if not states.ended(found):
            cluster.delete(KIND, found["metadata"]["name"])
