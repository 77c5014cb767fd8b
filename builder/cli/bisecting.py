"""Where `builder bisect` runs commits: what the ledger knows of each, and how one more run of it starts."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import count
from typing import TYPE_CHECKING

from builder.cli import output
from builder.errors import BuilderError, DeployError, DepsError, SettingsError, SourceError, UsageError

if TYPE_CHECKING:
    from builder.bisect.cost import Usual
    from builder.bisect.evidence import Evidence
    from builder.bisect.hunt import Found, Task
    from builder.bisect.metric import Metric
    from builder.bisect.point import Point
    from builder.cli.making import Maker
    from builder.cli.reading import Reader
    from builder.cli.starting import Prepared
    from builder.cluster.interface import Cluster
    from builder.model.tree import Commit
    from builder.runs.comparing import Side
    from builder.runs.history import Seen
    from builder.runs.prepare import Overrides

OF_THE_COMMIT = (SettingsError, UsageError, DepsError, DeployError, SourceError)
"""Why a commit cannot be run, and others can. Anything else, such as a registry that is away, ends the search for now."""

SOON, LATER = 1.0, 5.0  # seconds between two looks at runs: in the first minute, and after it


@dataclass(frozen=True, slots=True)
class Wanted:
    """What each commit is run with."""

    flow: str
    overrides: Overrides
    metric: Metric
    on: str = ""
    config: str = ""
    place: tuple[str, ...] = ()


def benched(maker: Maker, wanted: Wanted, good: str, bad: str, repeat: int, width: int, *, first_parent: bool) -> tuple[Bench, Task]:
    """Raises what can be said against the search before anything runs."""
    from builder.bisect.between import graph_between
    from builder.bisect.hunt import Task
    from builder.cli.reading import Reader
    from builder.cli.revisions import find_commit

    reader = Reader.beside(maker)
    newest, oldest = find_commit(reader, wanted.flow, bad), find_commit(reader, wanted.flow, good)
    bench = Bench(maker, reader, _measuring(maker, wanted, newest))
    graph = graph_between(maker.git, oldest, newest, first_parent=first_parent)
    at_once = maker.settings.queue[wanted.flow].at_once if wanted.flow in maker.settings.queue else 0
    return bench, Task(graph, oldest.sha, wanted.metric, repeat, width, at_once if bench.on == "argo" else width)


def _measuring(maker: Maker, wanted: Wanted, commit: Commit) -> Wanted:
    """Only what the metric needs is evaluated, unless the command line says otherwise. Raises UsageError when nothing measures it."""
    from builder.runs.prepare import Overrides, choose_flow, chosen_evals

    try:
        flow, metric = choose_flow(wanted.flow, maker.settings_at(commit)), wanted.metric
    except SettingsError as error:
        raise SettingsError(error.message, "no run of that commit can be; name another one with --bad") from error
    if flow.file or metric.is_loss or not flow.evals:
        return wanted
    if wanted.overrides.evals and metric.name not in wanted.overrides.evals:
        raise UsageError(f"evals={','.join(wanted.overrides.evals)} leaves out {metric.name}, which --metric compares", "add it")
    if metric.name not in flow.evals:
        known = ", ".join([*sorted(flow.evals), "loss"])
        raise UsageError(f"--metric {metric}: [flow.{wanted.flow}.evals] has no {metric.name} at {commit.sha[:12]}", f"it has {known}")
    chosen = chosen_evals(wanted.flow, flow, wanted.overrides.evals or (metric.name,))
    return replace(wanted, overrides=Overrides(wanted.overrides.config, chosen))


class Bench:
    """Runs of one flow, by commit. What was read is kept; only runs that go on are read again, while they are waited for."""

    def __init__(self, maker: Maker, reader: Reader, wanted: Wanted) -> None:
        self.git = maker.git
        self.reader = reader
        self.flow = wanted.flow
        self._maker = maker
        self._wanted = wanted
        self.on = wanted.on or maker.settings.run.on
        self.started: list[str] = []
        """Runs of this search that this process started."""
        self._followed: set[str] = set()
        self._points: dict[str, Point | BuilderError] = {}
        self._barred: dict[str, str] = {}
        self._matching: dict[str, list[str]] = {}

    @cached_property
    def runs(self) -> dict[str, Seen]:
        """All runs of the flow, by name."""
        from builder.runs.history import Filter

        return {seen.run: seen for seen in self.reader.runs(Filter(flow=self._wanted.flow))}

    @cached_property
    def _by_commit(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for seen in self.runs.values():
            found.setdefault(self._maker.git.new_name(seen.commit) or seen.commit, []).append(seen.run)
        return found

    @cached_property
    def _cluster(self) -> Cluster | None:
        return self.reader.connect() if self.on == "argo" else None

    def commit(self, sha: str) -> Commit:
        return self._maker.git.commit(sha)

    def check(self, task: Task, found: Found) -> None:
        """Raises what is wrong with the command line or the settings in force, as `builder run` says it: what both ends refuse alike,
        unless a commit between them has been run so; and a store from which nothing could have an image.
        """
        from builder.cli.starting import check_store
        from builder.runs.launches import placed

        newest, oldest = self._point(task.bad), self._point(task.good)
        alike = isinstance(newest, BuilderError) and isinstance(oldest, BuilderError) and newest.message == oldest.message
        if isinstance(newest, BuilderError) and alike and not any(known.evidence.values for known in found.opinions.values()):
            raise newest
        check_store(self._maker, self.on, placed(self._maker.settings.launch, self._wanted.place))

    def connect(self) -> None:
        """Before anything is made. Raises ClusterError where runs are to go to a cluster, and nothing says where one is."""
        _ = self._cluster

    def usual(self) -> Usual:
        from builder.bisect.cost import usual_of

        return usual_of(self.runs.values(), self.on, self._wanted.metric, self._maker.settings)

    def look(self, sha: str) -> Evidence:
        from builder.bisect.evidence import evidence_of

        known = evidence_of(self._wanted.metric, [self.runs[run] for run in self._runs_at(sha)], {*self._followed, *self.started})
        return replace(known, barred=self._barred.get(sha, ""))

    def side(self, sha: str, word: str) -> Side:
        """The commit with the runs that told how it is."""
        from builder.runs.comparing import Side

        return Side(f"{sha[:7]} ({word})", sha, tuple(self.runs[run] for run in self.look(sha).values))

    def refusal(self, sha: str) -> str:
        """Why the commit cannot be run; empty when it can, as far as is known before it is tried."""
        point = self._point(sha)
        return point.message if isinstance(point, BuilderError) else ""

    def start(self, sha: str) -> None:
        try:
            self._start(sha)
        except OF_THE_COMMIT as error:
            self._barred[sha] = error.message

    def wait(self, runs: Sequence[str]) -> None:
        """Until one of them has ended."""
        self._follow(runs)
        began = time.monotonic()
        while True:
            for run in runs:
                self._look_again(run)
            if not all(self.runs[run].is_open for run in runs):
                return
            time.sleep(SOON if time.monotonic() - began < 60 else LATER)

    def say_what_goes_on(self) -> None:
        """After an interruption, or an error."""
        if going := [run for run in {*self._followed, *self.started} if run in self.runs and self.runs[run].is_open]:
            ends = f"`builder stop {' '.join(sorted(going))}` ends {'it' if len(going) == 1 else 'them'}"
            output.note(f"{output.plural(len(going), 'run')} {'goes' if len(going) == 1 else 'go'} on; {ends}")

    def _follow(self, runs: Sequence[str]) -> None:
        for run in runs:
            if run not in self._followed and run not in self.started:
                output.note(f"  {run} goes on already, on {self.runs[run].where}: it is waited for")
            self._followed.add(run)

    def _look_again(self, run: str) -> None:
        if seen := self._read(run):
            self.runs[run] = seen

    def _read(self, run: str) -> Seen | None:
        """As it stands now. Of one that has ended everything: its end may have been read after, and its scores before they were there."""
        seen = self._read_once(run)
        return seen if seen is None or seen.is_open else self._read_once(run)

    def _read_once(self, run: str) -> Seen | None:
        """A cluster that cannot be asked is said once, and not at every look."""
        from builder.runs.history import Seen
        from builder.runs.reconcile import reconcile

        records = self.reader.ledger.read(run)
        warn = partial(self._maker.say_once, say=output.warn)
        return reconcile([Seen.of(run, records)], self.reader.connect, warn)[0] if records else None

    def _runs_at(self, sha: str) -> list[str]:
        """Those that did, or do, the same as a run of this search."""
        if sha not in self._matching:
            self._matching[sha] = [run for run in self._by_commit.get(sha, ()) if self._is_same(sha, self.runs[run])]
        return self._matching[sha]

    def _is_same(self, sha: str, seen: Seen) -> bool:
        point = self._point(sha)
        return not isinstance(point, BuilderError) and point.is_same(seen)

    def _point(self, sha: str) -> Point | BuilderError:
        """What is the commit's own fault is not raised, but kept instead."""
        if sha not in self._points:
            try:
                self._points[sha] = self._make_point(sha)
            except OF_THE_COMMIT as error:
                self._points[sha] = error
        return self._points[sha]

    def _make_point(self, sha: str) -> Point:
        from builder.bisect.point import Point
        from builder.cli.restoring import list_for
        from builder.image.report import existing_image
        from builder.runs.prepare import make_request
        from builder.steps.request import Place

        prepared = self._prepare(sha)
        commit = prepared.wanted.commit
        request = make_request(prepared.wanted, self.on, "", "", Place("", ""), list_for(self._maker, commit))
        image = existing_image(self._maker.store, commit, commit.sha)
        needs = () if request.settings.file or self._wanted.metric.is_loss else (self._wanted.metric.name,)
        return Point(request, prepared.config.digest, image.digest if image else "", needs)

    def _prepare(self, sha: str) -> Prepared:
        from builder.cli.starting import Asked, Target, prepare

        wanted = self._wanted
        return prepare(self._maker, Asked(Target(wanted.flow, sha), self._overrides(sha), self.on, wanted.config, place=wanted.place))

    def _overrides(self, sha: str) -> Overrides:
        """No evaluation tells a loss: as few as the commit's flow can have, unless the command line names some."""
        from builder.bisect.point import least_evals
        from builder.runs.prepare import choose_flow

        wanted = self._wanted
        if wanted.overrides.evals or not wanted.metric.is_loss:
            return wanted.overrides
        return replace(wanted.overrides, evals=least_evals(choose_flow(wanted.flow, self._maker.settings_at(self.commit(sha)))))

    def _start(self, sha: str) -> None:
        """Under a name that is the same for everybody who searches: who comes second finds the run of who came first."""
        point = self._point(sha)
        if isinstance(point, BuilderError):
            raise point
        image = self._maker.make(self.commit(sha))
        for name in _names(self._wanted.flow, sha, point.identity(image.digest)):
            if name in self.runs:
                continue
            seen = self._read(name)
            if seen is None:
                self._start_as(name, sha)
            else:
                self.runs[name] = seen
            self._runs_at(sha).append(name)
            return

    def _start_as(self, name: str, sha: str) -> None:
        from builder.cli.executing import execute
        from builder.cli.starting import make_ready

        prepared = replace(self._prepare(sha), run=name)
        output.note(f"{prepared.label} on {self.on}")
        execute(self._maker, make_ready(self._maker, prepared), self._cluster, wait=False)
        self.started.append(name)
        self._look_again(name)


def _names(flow: str, sha: str, identity: str) -> Iterator[str]:
    for number in count(1):
        yield f"{flow}-{sha[:7]}-{hashlib.sha256(f'{identity} {number}'.encode()).hexdigest()[:6]}"
