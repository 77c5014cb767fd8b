"""Writes docs/reference from the commands' help, the settings and the errors: `python -m builder.cli.reference [--check] DIR`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from builder import errors
from builder.cli import commands, frame, output
from builder.cli.document import Document
from builder.cli.documents import DOCUMENTS
from builder.cli.errors import EXIT_CODES
from builder.errors import BuilderError
from builder.settings import ENVIRONMENT, Tables
from builder.settings.convert import hints_of, inner_table, show

_MADE = "<!-- made by `make docs`: change the code it comes from -->\n"
_WIDTH = 100


def pages() -> dict[str, str]:
    """File name to text. The same on every machine."""
    made = {"commands.md": _commands(), "settings.md": _settings(), "errors.md": _errors(), "json.md": _json()}
    return {name: f"{_MADE}{text.rstrip()}\n" for name, text in made.items()}


# commands


def _commands() -> str:
    sections = [_section(frame.root, None, "builder")]
    for title, listed in commands.existing():
        sections.append(f"## {title}")
        root = click.Context(frame.root, info_name="builder")
        for name in listed:
            sections += _tree(frame.command_of([name]), root, name)
    return "# Commands\n\n" + "\n\n".join(sections)


def _tree(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    yield _section(command, parent, name)
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name, parent=parent)
        for inner in sorted(command.commands):
            yield from _tree(command.commands[inner], context, inner)


def _section(command: click.Command, parent: click.Context | None, name: str) -> str:
    settings = {"help_option_names": ["-h", "--help"], "terminal_width": _WIDTH, "max_content_width": _WIDTH}
    context = click.Context(command, info_name=name, parent=parent, **settings)  # type: ignore[arg-type]
    heading = "" if parent is None else f"### {context.command_path}\n\n"
    return f"{heading}```\n{command.get_help(context)}\n```"


# settings


def _settings() -> str:
    intro = (
        "# Settings\n\n"
        "`builder.toml`, or `[tool.builder]` in `pyproject.toml`: the nearest one from the working directory upwards; never two merged.\n"
        "`[image]` and each `[flow.NAME]` are taken whole from the commit's own file when they are there; everything else is always\n"
        "the one in force. `--dry-run` shows where each value came from. An unknown key is an error now, a warning in an old commit.\n"
    )
    return "\n\n".join([intro.rstrip(), *_tables(Tables, ""), _environment()])


def _tables(kind: type, path: str) -> Iterator[str]:
    hints = hints_of(kind)
    plain = [key for key in fields(kind) if inner_table(hints[key.name]) is None or key.name == "evals"]
    if path and plain:
        rows = [_row(key, hints[key.name]) for key in plain]
        yield f"## `[{path}]`\n\n{kind.__doc__}\n\n| key | type | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows)
    for key in fields(kind):
        inner = inner_table(hints[key.name])
        if inner is not None:
            many = get_origin(hints[key.name]) not in (None, *_UNION)
            yield from _tables(inner, f"{path}.{key.name}".lstrip(".") + (".NAME" if many else ""))
    if not path:
        for key in plain:
            yield f"## `[{key.name}]`\n\n{key.metadata['meaning'][:1].upper()}{key.metadata['meaning'][1:]}."


def _row(key: Field[Any], hint: Any) -> str:
    default = {} if key.default is MISSING else "" if key.default is None else key.default
    return f"| `{key.name}` | {_type(hint)} | `{show(default)}` | {key.metadata['meaning']} |".replace("\n", " ")


_UNION = (type(int | None),)


def _type(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin in _UNION:
        return _type(args[0])
    if origin is Literal:
        return " or ".join(f'`"{choice}"`' for choice in args)
    if origin is not None:
        inner = _type(args[-1] if origin is not tuple else args[0])
        return ("list of " if origin is tuple else "table of ") + inner.replace("list", "lists", 1) + ("" if "list" in inner else "s")
    return {str: "string", bool: "boolean", int: "integer", float: "number"}.get(hint, "value")


def _environment() -> str:
    rows = [f"| `{variable}` | `[{table}] {key}` |" for variable, (table, key) in ENVIRONMENT.items()]
    return (
        "## Environment\n\nThese variables stand above the file. There are none for `[image]`: an image must not depend on a shell.\n\n"
        "| variable | instead of |\n|---|---|\n" + "\n".join(rows)
    )


# errors and documents


def _errors() -> str:
    codes = "\n".join(f"| {code} | {meaning} |" for code, meaning in sorted(EXIT_CODES.items()))
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BuilderError)]
    rows = [f"| `{kind.__name__}` | {kind.exit_code} | {(kind.__doc__ or '').splitlines()[0]} |" for kind in kinds]
    return (
        "# Exit codes and errors\n\n"
        "An error is one line on stderr, `error: what failed, on which thing`, mostly with a second, `hint: what to do next`.\n"
        "`-v` shows where it came from.\n\n"
        f"| exit code | meaning |\n|---|---|\n{codes}\n\n"
        "In Python all derive from `builder.errors.BuilderError`:\n\n| class | exit code | meaning |\n|---|---|---|\n"
        + "\n".join(sorted(rows))
    )


def _json() -> str:
    intro = (
        "# JSON\n\n"
        f"With `-o json` a command prints one document on stdout. Every object has `schema`, now {output.SCHEMA}: it grows when\n"
        "a key goes away or changes its meaning; new keys may come at any time. Bytes and seconds are numbers."
    )
    return "\n\n".join([intro, *(_document(name, document) for name, document in DOCUMENTS.items())])


def _document(name: str, document: Document) -> str:
    text = f"## {name}\n\n" + ("A list, an object each:\n\n" if document.many else "") + _keys(document.keys)
    return text + "".join(f"\n\nEach of `{key}`:\n\n{_keys(part)}" for key, part in document.parts.items())


def _keys(keys: Mapping[str, str]) -> str:
    return "| key | meaning |\n|---|---|\n" + "\n".join(f"| `{key}` | {meaning} |" for key, meaning in keys.items())


# the program


def stale(directory: Path) -> list[str]:
    """The pages that are not what `pages` makes."""
    return [name for name, text in pages().items() if not (directory / name).exists() or (directory / name).read_text() != text]


def main(arguments: list[str]) -> int:
    directory = Path(next((word for word in arguments if not word.startswith("-")), "docs/reference"))
    if "--check" in arguments:
        old = stale(directory)
        if old:
            output.error(f"out of date in {directory}: {', '.join(old)}", "run `make docs` and commit what it writes")
        return int(bool(old))
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (directory / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
