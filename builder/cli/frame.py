"""The frame round every command: finds and imports the one that is asked for, and nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from builder import __version__
from builder.cli import commands
from builder.cli.errors import Flags, guarded
from builder.errors import UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COMPLETE = "_BUILDER_COMPLETE"


class Frame(click.Group):
    """Commands by name from builder/cli/<name>.py; any other first word that names a flow is `run`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return commands.names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in commands.names():
            return None
        command: click.Command = import_module(f"builder.cli.{commands.module_name(cmd_name)}").command
        _add_common(command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if not ctx.resilient_parsing:
            _refuse_empty(args)
        command = self.get_command(ctx, word)
        if command is not None:
            return word, command, args[1:]
        if ctx.resilient_parsing and not _names_a_flow(word):  # the shell asks, and must not get an error
            return None, None, args[1:]
        if _names_a_flow(word) and "run" in commands.names():
            return "run", self.get_command(ctx, "run"), args
        raise _no_such_command(word)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, listed in commands.existing():
            with formatter.section(title):
                formatter.write_dl(list(listed.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from builder.cli import complete

        lines = {name: line for _, listed in commands.existing() for name, line in listed.items()}
        return [*complete.words(lines, incomplete), *complete.flow_at_revision(ctx, None, incomplete)]


@click.group(
    cls=Frame,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`builder FLOW@REV` is `builder run FLOW@REV`. `builder COMMAND --help` shows a command's options.",
)
@click.version_option(__version__, message="builder %(version)s")
def root() -> None:
    """Every commit is an image, and any commit is a run."""


def run(argv: Sequence[str]) -> int:
    """Runs one command line and returns the exit code. Whatever goes wrong in it is printed here."""
    flags = Flags()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # file names need not be UTF-8
            stream.reconfigure(errors="backslashreplace")
    return guarded(lambda: _invoke(list(argv) or ["--help"], flags), flags)


def _invoke(argv: list[str], flags: Flags) -> Any:
    """What `root.main` does, but that it would make exit code 1 of every broken pipe."""
    if _COMPLETE in os.environ:
        return root.main(argv, prog_name="builder", complete_var=_COMPLETE, standalone_mode=False, obj=flags)
    try:
        with root.make_context("builder", argv, obj=flags) as context:
            return root.invoke(context)
    except click.UsageError as error:
        error.ctx = error.ctx or _context_of(argv)
        raise


def _context_of(words: Sequence[str]) -> click.Context:
    """Of the command that is asked for: where an option lacks its value, click does not say whose it is."""
    context = click.Context(root, info_name="builder")
    for word in words:
        if not isinstance(context.command, click.Group):
            break
        name = "run" if context.command is root and word not in commands.names() and _names_a_flow(word) else word
        if command := context.command.get_command(context, name):
            context = click.Context(command, parent=context, info_name=name)
    return context


def _set_verbose(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    flags = ctx.find_object(Flags)
    if flags is not None:
        flags.verbose = flags.verbose or value


def _verbose() -> click.Option:
    return click.Option(
        ["-v", "--verbose"], is_flag=True, expose_value=False, callback=_set_verbose, help="Show the traceback of an error."
    )


def _add_common(command: click.Command) -> None:
    """`-v` may stand before or after the command's name; what takes a store may be told that it is a plain http one."""
    options = {name for parameter in command.params if isinstance(parameter, click.Option) for name in parameter.opts}
    takes_a_store = any(parameter.metavar == "STORE" for parameter in command.params)
    if "-v" not in options:
        command.params.append(_verbose())
    if takes_a_store and "--insecure-registry" not in options:
        from builder.cli.wiring import insecure_option

        command.params.append(insecure_option())
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _add_common(inner)


def _refuse_empty(words: Sequence[str]) -> None:
    """Nobody means an empty value: where a variable is unset, taking the default instead would push to the wrong place."""
    for before, word in zip(["", *words], words, strict=False):
        option = word[:-1] if word.startswith("--") and word.endswith("=") else before if not word else None
        if option is not None:
            what = option if option.startswith("-") else "an argument"
            raise UsageError(f"{what} is empty", "is a variable unset?")


def _names_a_flow(word: str) -> bool:
    if "@" in word[1:] or word in commands.BUILT_IN_FLOWS:
        return True
    from builder.cli.complete import flows

    return not word.startswith("-") and word in flows()


def _no_such_command(word: str) -> UsageError:
    import difflib
    import re

    near = difflib.get_close_matches(word, [*commands.names(), *commands.BUILT_IN_FLOWS], 1)
    if near:
        return UsageError(f"no such command: {word}", f"did you mean `builder {near[0]}`?")
    if re.match(r"[0-9a-f]{7,40}\Z|HEAD\b|main\b|master\b|.*[~^/]", word) and "run" in commands.names():
        return UsageError(f"no such command: {word}", f"to run that revision: `builder run finetune@{word}`")
    return UsageError(f"no such command: {word}", "`builder --help` lists the commands")


root.params.append(_verbose())


def command_of(path: Sequence[str]) -> Any:
    """The command at `path`, such as ("base", "pin"); the root for an empty one."""
    found: Any = root
    for name in path:
        found = found.get_command(click.Context(found), name)
    return found
