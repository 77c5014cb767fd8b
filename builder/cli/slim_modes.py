"""What `builder slim-repo` may be asked to do, and which of its options count for which of that."""

from __future__ import annotations

from dataclasses import dataclass

import click
from click.core import ParameterSource

from builder.errors import UsageError

_RULES = ("drop_over", "drop", "keep", "lfs", "replace")


@dataclass(frozen=True, slots=True)
class Mode:
    """`flag`, the parameter `name`, asks for it; the first run, which plans, has none.

    The parameters that count: those of its `own` stand under `title` in the help, and `also` some that have another place there.
    """

    name: str
    flag: str
    title: str
    own: tuple[str, ...]
    also: tuple[str, ...] = ()


CHECK = Mode("check", "--check", "Keep it small, in hooks and CI", ("check", "max_size"), ("source", "keep"))
MOVE = Mode("move_clone", "--move-clone", "Move an old clone", ("move_clone", "to", "taken_out", "yes"))
STATUS = Mode("only_status", "--status", "Look where it stands", ("only_status",), ("source", "work", "archive"))
APPROVE = Mode("approve", "--approve", "Go on", ("approve", "publish_to"), ("source", "work", "archive", *_RULES))
PLAN = Mode("", "", "Plan", (*_RULES, "archive", "work", "restart"), ("source",))

_MODES = (CHECK, MOVE, STATUS, APPROVE, PLAN)
"""Of two that are asked for the first counts, and refuses the other's flag."""
SECTIONS = {mode.title: mode.own for mode in (PLAN, APPROVE, STATUS, CHECK, MOVE)}


def chosen(context: click.Context) -> Mode:
    """What is asked for. Raises UsageError for what would be ignored then."""
    options_first = sorted(context.command.params, key=lambda each: isinstance(each, click.Argument))
    typed = {str(each.name): each for each in options_first if _typed(context, each)}
    mode = next(mode for mode in _MODES if mode.name in typed or mode is PLAN)
    for name, parameter in typed.items():
        others = [other for other in _MODES if name in (*other.own, *other.also)]
        if others and mode not in others:
            raise _refused(_spelled(parameter), mode, others)
    return mode


def _typed(context: click.Context, parameter: click.Parameter) -> bool:
    name = str(parameter.name)
    return context.get_parameter_source(name) == ParameterSource.COMMANDLINE and bool(context.params.get(name))


def _spelled(parameter: click.Parameter) -> str:
    return parameter.opts[0] if isinstance(parameter, click.Option) else str(parameter.name).upper()


def _refused(word: str, mode: Mode, others: list[Mode]) -> UsageError:
    flags = " or ".join(other.flag for other in others if other.flag)
    if mode is PLAN:
        return UsageError(f"{word} only goes with {flags}", f"add {flags}, or leave it out")
    hint = "one at a time" if word == flags else f"it goes with {flags or 'a run that plans'}"
    return UsageError(f"{word} does not go with {mode.flag}", hint)
