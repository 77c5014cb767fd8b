"""`builder init`: a builder.toml from what the repository shows."""

from __future__ import annotations

from pathlib import Path

import click

from builder.cli import output
from builder.errors import UsageError


@click.command()
@click.option(
    "--repo", type=click.Path(path_type=Path, file_okay=False, exists=True), default=".", help="The repository. Default: this one."
)
@click.option("--force", is_flag=True, help="Replace a builder.toml that is there.")
@click.option("--dry-run", is_flag=True, help="Print it and write nothing.")
def command(repo: Path, force: bool, dry_run: bool) -> None:
    """Look at the repository and write a builder.toml.

    Proposes base, dependencies, import path, the fine-tuning command and what to leave out; each with a comment. Read it
    before you commit it.
    """
    from builder.init import look, propose, render

    repository = look(repo)
    proposal = propose(repository)
    text = render(proposal)
    if dry_run:
        output.result(text.rstrip("\n"))
        return
    file = repository.root / "builder.toml"
    _refuse(file, force)
    file.write_text(text, encoding="utf-8")
    output.result(str(file))
    output.note("read it, and fill in what is commented out")
    output.note(f"next: {_next(proposal.base)}")


def _refuse(file: Path, force: bool) -> None:
    from builder.settings.load import has_project_table

    if has_project_table(file.parent):
        raise UsageError(
            f"{file.with_name('pyproject.toml')} has [tool.builder] already", "change it there, or see a proposal with --dry-run"
        )
    if file.exists() and not force:
        raise UsageError(f"{file} is there already", "see a proposal with --dry-run, or replace it with --force")


def _next(base: str) -> str:
    if base:
        return "builder doctor" if "@sha256:" in base else "builder base pin"
    return "builder base pin nvcr.io/nvidia/pytorch:YY.MM-py3   # or `builder image --base scratch` to see it work"
