"""A command whose help has its options under headings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click


class Sectioned(click.Command):
    """`sections`: heading -> names of parameters, in their order. Options that are under none of them come last."""

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]], **named: Any) -> None:
        super().__init__(*args, **named)
        self._sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = {str(option.name): option.get_help_record(ctx) for option in self.get_params(ctx) if isinstance(option, click.Option)}
        for title, names in self._sections.items():
            _write(formatter, title, [options.pop(name) for name in names])
        _write(formatter, "Options", list(options.values()))


def _write(formatter: click.HelpFormatter, title: str, records: Sequence[tuple[str, str] | None]) -> None:
    """A hidden option has no record."""
    with formatter.section(title):
        formatter.write_dl([record for record in records if record])
