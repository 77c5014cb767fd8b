"""Asks git, the store, the data root, Argo and Slurm. Reads only. What cannot be asked is a note on the page, and stops nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from builder.data.ledger import RUN, seconds_of
from builder.errors import BuilderError
from builder.page.curves import curves_of
from builder.page.facts import Commit, Facts, Images, Job, Nights
from builder.page.history import newest_commits
from builder.page.images import Known, manifests_of, tags_of, weighed
from builder.page.nights import Plan, calendar, plans_of
from builder.runs.history import Filter, Seen, runs_of
from builder.runs.keepers import keeper_of
from builder.runs.sources import Sources
from builder.settings import Settings
from builder.source.repository import Git
from builder.stores.interface import Store
from builder.watch.facts import World
from builder.watch.findings import findings
from builder.watch.journal import Journal
from builder.watch.look import look
from builder.watch.news import Memory, Open, news

T = TypeVar("T")

COMMITS, RUNS = 2000, 1000
"""At most so many are on the page, the newest."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where it is all asked. `git` raises SourceError where there is no repository; `store` opens the images' store."""

    sources: Sources
    git: Callable[[], Git]
    store: Callable[[], Store]
    name: str = ""


@dataclass
class _Notes:
    """What could not be asked."""

    said: list[str] = field(default_factory=list)

    def tried(self, what: str, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except BuilderError as error:
            self.said.append(f"{what}: {error.message}")
            return None


def gather(places: Places, *, flow: str = "", most: int = COMMITS) -> Facts:
    """`flow`: only runs of this one; `most` commits. Never raises because one of the sources does not answer."""
    notes, sources, now = _Notes(), places.sources, time.time()
    world = notes.tried("jobs, schedules and what goes on are not shown", lambda: look(sources))
    git = notes.tried("commits are those of images and runs alone", places.git)
    told = (notes.tried("commits are those of images and runs alone", lambda: newest_commits(git, most)) if git else None) or ()
    runs = notes.tried("runs are not shown", lambda: _runs(sources, flow, notes, world, git, told)) or []
    commits, images = _with_images(places, notes, _with_those_of_runs(told, runs), most, complete=bool(told))
    journal = Journal(sources.objects)
    memory = notes.tried("what watch told before is not known", lambda: journal.read().memory) or {}
    return Facts(
        made=now,
        name=places.name,
        root=sources.objects.name,
        commits=commits,
        images=images,
        runs=tuple(runs),
        curves=notes.tried("loss curves are not shown", lambda: curves_of(runs, sources.objects)) or {},
        nights=_nights(sources.settings, runs, world, flow, now),
        jobs=tuple(Job(cluster, job) for cluster, jobs in (world.jobs if world else {}).items() for job in jobs),
        found=_found(world, memory, sources.settings),
        looked=notes.tried("when watch looked is not known", journal.last_look) or "",
        notes=tuple(dict.fromkeys([*notes.said, *_unseen(world)])),
    )


def _unseen(world: World | None) -> list[str]:
    return [f"{source} cannot be asked: {why}" for source, why in (world.unseen if world else {}).items()]


# runs


def _runs(sources: Sources, flow: str, notes: _Notes, world: World | None, git: Git | None, commits: Sequence[Commit]) -> list[Seen]:
    """As they stand now, the newest first."""
    known = {commit.sha for commit in commits}
    found = [_as_now(seen, world) for seen in runs_of(sources.ledger, Filter(flow=flow), RUNS, notes.said.append)]
    return [_renamed(seen, git, known) for seen in found] if git else found


def _as_now(seen: Seen, world: World | None) -> Seen:
    """An open run as whoever executes it has it."""
    found = world.run(seen.run) if world and seen.is_open else None
    return replace(seen, state=found.state, detail=found.detail) if found else seen


def _renamed(seen: Seen, git: Git, known: set[str]) -> Seen:
    """A run of a commit of before the history was slimmed stands with the commit that took its place."""
    new = "" if seen.commit in known else git.new_name(seen.commit)
    return replace(seen, records={**seen.records, RUN: {**seen.records.get(RUN, {}), "commit": new}}) if new else seen


# commits and their images


def _with_those_of_runs(commits: Sequence[Commit], runs: Iterable[Seen]) -> dict[str, Commit]:
    found = {commit.sha: commit for commit in commits}
    for seen in sorted(runs, key=lambda seen: seen.started):
        if seen.commit and seen.commit not in found:
            found[seen.commit] = Commit(seen.commit, seconds_of(seen.started) if seen.started else 0.0, "", seen.subject)
    return found


def _with_images(
    places: Places, notes: _Notes, commits: dict[str, Commit], most: int, *, complete: bool
) -> tuple[tuple[Commit, ...], Images]:
    """`complete`: git told the commits; else images tell of more."""
    store = notes.tried("images are not shown", places.store)
    tags = (notes.tried("images are not shown", lambda: tags_of(store)) if store else None) or {}
    wanted = list(commits) if complete else list(dict.fromkeys([*commits, *tags]))[:most]
    known = (notes.tried("images are not shown", lambda: manifests_of(store, tags, wanted)) if store else None) or {}
    for sha, image in known.items():
        commits.setdefault(sha, Commit(sha, _seconds(image)))
    # stable: of commits of the same second git told the later one first
    newest_first = sorted(commits.values(), key=lambda commit: -commit.date)
    oldest_first = [commit.sha for commit in reversed(newest_first)]
    return tuple(newest_first), weighed(known, oldest_first, len(tags), store.name if store else "")


def _seconds(image: Known) -> float:
    try:
        return seconds_of(image.created)
    except ValueError:
        return 0.0


# schedules, and what is wrong


def _nights(settings: Settings, runs: Sequence[Seen], world: World | None, flow: str, now: float) -> tuple[Nights, ...]:
    """Of the schedules of `flow`, or all; where the ledger has more runs than were read, since the oldest of these."""
    plans = plans_of(world.schedules if world else (), _planned(settings))
    since = min((seconds_of(seen.started) for seen in runs if seen.started), default=0.0) if len(runs) >= RUNS else 0.0
    wanted = {name: plan for name, plan in plans.items() if flow in ("", plan.flow)}
    return calendar(wanted, runs, now, known_since=since)


def _planned(settings: Settings) -> dict[str, Plan]:
    found = {}
    for name, schedule in settings.schedule.items():
        flow = schedule.flow or name
        found[name] = Plan(flow, schedule.cron, schedule.timezone, paused=schedule.suspend, recorded=not keeper_of(flow, settings))
    return found


def _found(world: World | None, memory: Memory, settings: Settings) -> tuple[Open, ...]:
    """What is wrong now, with when it was seen first; what was told before where nobody can look."""
    if world is None:
        return tuple(memory.values())
    seen = news(memory, findings(world, settings.watch), world.now, frozenset(world.unseen))
    return tuple(seen.memory.values())
