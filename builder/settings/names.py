"""Names in the settings that stand for a step, an action type or a flow: what is said of one that is nowhere would count for nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from builder.model.run import STEPS, steps_of_kind
from builder.settings.convert import show
from builder.settings.flows import FlowSettings
from builder.settings.tables import Tables


@dataclass(frozen=True, slots=True)
class Loose:
    """The table's dotted path, the name there that leads nowhere, and those that would be right."""

    path: str
    name: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        right = f"is none of {', '.join(self.known)}" if self.known else "is about nothing: there is none at all"
        return f"{show(self.name)} {right}"


def loose_names(tables: Tables) -> Iterator[Loose]:
    """In the order of the tables."""
    for name, flow in tables.flow.items():
        yield from loose_in_flow(name, flow, tables.flow)
    if not any(flow.file for flow in tables.flow.values()):  # a team's own flow names its steps itself
        kinds = {flow.use or name for name, flow in tables.flow.items()} or {"finetune", "train"}
        actions = {action for flow in tables.flow.values() for action in flow.evals}
        yield from _loose("launch", tables.launch, ["default", *_steps(kinds, actions)])
    if tables.flow:  # else the flows are those of commits
        yield from _loose("queue", tables.queue, tables.flow)


def loose_in_flow(name: str, flow: FlowSettings, flows: Collection[str]) -> Iterator[Loose]:
    """`flows`: those that it may come after."""
    yield from _loose(f"flow.{name}.errors", flow.errors, _steps({flow.use or name}, flow.evals))
    commands = [action for action, command in flow.evals.items() if isinstance(command, tuple)]
    yield from _loose(f"flow.{name}.scores", flow.scores, commands)
    yield from _loose(f"flow.{name}.after", [flow.after] if flow.after else [], flows)


def _steps(kinds: Collection[str], actions: Collection[str]) -> list[str]:
    """Of built-in flows, in their order."""
    known = {step for kind in kinds for step in steps_of_kind(kind)}
    return [*(step for step in STEPS if step in known), *(f"evaluate-{action}" for action in sorted(actions))]


def _loose(path: str, names: Collection[str], known: Collection[str]) -> Iterator[Loose]:
    yield from (Loose(path, name, tuple(known)) for name in names if name not in known)
