"""Workflow templates, of flows and of what starts runs at other commits, that no schedule, no run and no green commit needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from builder.collect.kept_house import House
from builder.collect.scene import Scene
from builder.collect.things import USED, Done, Verdict
from builder.housekeep.things import TEMPLATE


class Collector:
    """Of the namespace of [deploy]."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._house = House(scene, (TEMPLATE,), argo=True)

    def plan(self) -> Sequence[Verdict]:
        return [_but_needed(verdict, self._scene) for verdict in self._house.plan()]

    def remove(self, going: Sequence[Verdict]) -> Iterator[Done]:
        """Schedules are looked at again: one may start another template by now."""
        needed = self._scene.needs_now().templates
        yield from (Done(verdict, USED) for verdict in going if verdict.thing.name in needed)
        yield from self._house.remove([verdict for verdict in going if verdict.thing.name not in needed])

    def freed(self, done: Sequence[Done]) -> int:  # noqa: ARG002 - the cluster's store is not counted in bytes
        return 0

    def remarks(self) -> Iterable[str]:
        return ()


def _but_needed(verdict: Verdict, scene: Scene) -> Verdict:
    """Whatever else needs it, such as a schedule of another namespace."""
    reason = scene.needs.templates.get(verdict.thing.name) if verdict.goes else None
    return replace(verdict, goes=False, why=reason.text, group=reason.group) if reason else verdict
