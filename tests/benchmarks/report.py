"""docs/benchmarks.md, written wholly by the benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import measure
from measure import Cost
from scenarios import Goal, Section

_READING = Path(__file__).with_name("reading.md")


def page(machine: Sequence[str], sections: Sequence[Section], profiles: Mapping[str, str], notes: Sequence[str]) -> str:
    parts = ["# Benchmarks", "Written by `make bench`; do not edit.", _READING.read_text().strip()]
    parts += ["## Goals", _goals([(section.title, goal) for section in sections for goal in section.goals])]
    parts += ["## Machine", "\n".join(f"- {line}" for line in machine)]
    parts += [f"- {note}" for note in notes]
    for section in sections:
        parts += [f"## {section.title}", section.text]
        parts += [_table(section.ways)] if section.ways else []
        if section.title in profiles:
            parts += ["Not every goal is reached. Where the time goes, " + profiles[section.title]]
    return "\n\n".join(parts) + "\n"


def summary(sections: Sequence[Section]) -> str:
    """For the terminal."""
    return "\n".join(f"{_verdict(goal):12} {section.title}: {_said(goal)}" for section in sections for goal in section.goals)


def _goals(rows: Sequence[tuple[str, Goal]]) -> str:
    head = "| scenario | goal | figure | |\n|---|---|--:|---|\n"
    return head + "\n".join(
        f"| {title} | {goal.what} {'≥' if goal.at_least else '≤'} {_short(goal.form, goal.limit)} | {goal.form.format(goal.figure)} "
        f"| {_verdict(goal)} |"
        for title, goal in rows
    )


def _short(form: str, limit: float) -> str:
    return f"{limit:g}{form.partition('}')[2]}"


def _said(goal: Goal) -> str:
    return (
        f"{goal.what} {goal.form.format(goal.figure)} (goal: {'at least' if goal.at_least else 'at most'} {_short(goal.form, goal.limit)})"
    )


def _verdict(goal: Goal) -> str:
    return "reached" if goal.reached else "NOT reached"


def _table(ways: Mapping[str, Sequence[Cost]]) -> str:
    columns = ("wall", "fastest to slowest", "by ours", "CPU", "daemon's CPU", "sent", "requests", "peak RSS")
    head = f"| | {' | '.join(columns)} |\n|---|{'--:|' * len(columns)}\n"
    ours = measure.median(next(iter(ways.values())), lambda cost: cost.seconds)
    return head + "\n".join(_row(name, costs, ours) for name, costs in ways.items() if costs)


def _row(name: str, costs: Sequence[Cost], ours: float) -> str:
    wall = measure.median(costs, lambda cost: cost.seconds)
    digits = 3 if wall < 1 else 2
    span = f"{min(cost.seconds for cost in costs):.{digits}f} to {max(cost.seconds for cost in costs):.{digits}f} s"
    daemon = measure.median(costs, lambda cost: cost.daemon_cpu)
    cells = (
        name,
        f"{wall:.{digits}f} s",
        f"{span}, {len(costs)} rounds" if len(costs) > 1 else "one round",
        f"{wall / ours:.1f} x",
        f"{measure.median(costs, lambda cost: cost.cpu):.2f} s",
        f"{daemon:.2f} s" if daemon else "",
        _bytes(measure.median(costs, lambda cost: cost.sent)),
        f"{measure.median(costs, lambda cost: cost.requests):.0f}",
        f"{measure.median(costs, lambda cost: cost.rss) / 1e6:.0f} MB",
    )
    return "| " + " | ".join(cells) + " |"


def _bytes(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB" if count else ""
