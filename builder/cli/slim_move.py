"""`builder slim-repo --move-clone`: a colleague's clone goes on with the small repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli import output
from builder.cli.slim_errors import going_on
from builder.errors import without_passwords
from builder.model.path_names import in_json, shell_line, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SHOWN = 10
"""How many files are named."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says of it."""

    directory: str
    to: str
    taken_out: Any
    yes: bool


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option(
        "--move-clone",
        metavar="[DIR]",
        is_flag=False,
        flag_value=".",
        help="Say how an old clone's branches, tags and stashes would go on upon the new history. Default: where you are.",
    ),
    click.option("--to", metavar="URL", default="", help="The new repository, unless it took the old one's place."),
    click.option(
        "--taken-out",
        type=click.Choice(["stop", "keep", "drop"]),
        default="stop",
        show_default=True,
        help="A branch that changes a file that was taken out stays, keeps that file whole, or loses that change.",
    ),
    click.option("--yes", is_flag=True, help="Do it."),
)


def move(wanted: Wanted, form: str) -> None:
    """Says what would be done, or does it. Ends with 1 when something was left where it is."""
    from builder.cli.progress import progress
    from repo_slim.move.move_clone import Asked
    from repo_slim.move.move_clone import move as carry

    with going_on():
        told = carry(Asked(Path(wanted.directory).expanduser(), wanted.to, wanted.taken_out, wanted.yes), progress())
    told["remote"] = {key: without_passwords(value) for key, value in told["remote"].items()}
    told["next"] = without_passwords(_next(told, wanted))
    if form == "json":
        output.document({**told, "untracked": {tree: list(map(in_json, paths)) for tree, paths in told["untracked"].items()}})
    else:
        _show(told)
    _warn(told)
    if told["done"] and told["left"]:
        raise click.exceptions.Exit(1)


def _next(told: Mapping[str, Any], wanted: Wanted) -> str:
    if not told["left"] and (told["done"] or not told["moves"]):
        return ""
    words = ["builder", "slim-repo", "--move-clone", wanted.directory, *(["--to", wanted.to] if wanted.to else [])]
    if told["done"]:
        words += ["--taken-out", "keep"]
    elif wanted.taken_out != "stop":
        words += ["--taken-out", wanted.taken_out]
    return shell_line([*words, "--yes"])


def _show(told: Mapping[str, Any]) -> None:
    remote = told["remote"]
    output.result(f"clone        {told['clone']}")
    output.result(f"remote       {remote['name']} {_from_to(remote['before'], remote['after'])}")
    for title, kind in (("branch", "branches"), ("HEAD", "heads"), ("stash", "stashes"), ("tag", "tags")):
        _show_steps(title, told[kind])
    if told["notes"]:
        output.result(f"notes        {told['notes']} copied to the new names")
    for tree, paths in told["untracked"].items():
        more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
        output.result(f"files        stay in {tree}, and git no longer has them: {', '.join(map(shown, paths[:_SHOWN]))}{more}")
    output.result(f"kept         all of before in {told['kept']}" + (f", and in {told['bundle']}" if told["bundle"] else ""))
    if told["next"]:
        output.result(f"next         {told['next']}")


def _show_steps(title: str, steps: list[dict[str, Any]]) -> None:
    same = 0
    for step in steps:
        name = step["name"].removeprefix("refs/heads/").removeprefix("refs/tags/")
        count = f", {output.plural(step['replayed'], 'commit')} of its own made again" if step["replayed"] else ""
        if step["why"]:
            output.result(f"{title:<13}{name} stays: {step['why']}")
        elif step["before"] != step["after"]:
            output.result(f"{title:<13}{name} {_from_to(step['before'][:12], step['after'][:12])}{count}")
        else:
            same += 1
    if same:
        output.result(f"{title:<13}{same} as before")


def _from_to(before: str, after: str) -> str:
    return f"{before} -> {after}" if before != after else before


def _warn(told: Mapping[str, Any]) -> None:
    if told["done"] and told["left"]:
        output.note(
            "--taken-out keep keeps such files whole, as they are in your commits; --taken-out drop leaves your changes to them out"
        )
    for text in told["warnings"]:
        output.warn(text)
    for step in told["elsewhere"]:
        name = step["name"].removeprefix("refs/")
        hint = (
            f"`git branch NAME {told['kept']}/{name}`, then run it again, moves that"
            if told["done"]
            else "make it a branch of yours to move it"
        )
        output.warn(f"{name} has commits that the new repository lacks: {hint}")
    if told["others"]:
        output.warn(f"other remotes are left as they are: {', '.join(told['others'])}")
    if told["unsigned"]:
        output.warn(f"{output.plural(len(told['unsigned']), 'commit')} of yours lose their signature: -o json lists them")
