"""`builder init`: a builder.toml from what the repository shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli import output
from builder.errors import UsageError

if TYPE_CHECKING:
    from builder.init import Repository


@click.command()
@click.option(
    "--repo", type=click.Path(path_type=Path, file_okay=False, exists=True), default=".", help="The repository. Default: this one."
)
@click.option("--flow", metavar="NAME", default="", help="Add a flow of that name to the builder.toml that is there.")
@click.option("--own", is_flag=True, help="With --flow: a Metaflow flow of your own, flows/NAME.py, that runs at once.")
@click.option("--ci", "provider", type=click.Choice(["circleci", "github"]), help="Write what CI does; settings, too, if there are none.")
@click.option("--force", is_flag=True, help="Replace a builder.toml that is there; with --ci the files of CI instead.")
@click.option("--dry-run", is_flag=True, help="Print it and write nothing.")
def command(repo: Path, flow: str, own: bool, provider: str | None, force: bool, dry_run: bool) -> None:
    """Look at the repository and write a builder.toml.

    Proposes base, dependencies, import path, the fine-tuning command and what to leave out; each with a comment. Read it
    before you commit it. With --flow it adds a flow to the settings. With --ci it writes the file in which CircleCI, or
    the files in which GitHub Actions, read what to do with every commit.
    """
    from builder.init import look, propose, render

    if own and not flow:
        raise UsageError("--own goes with --flow NAME", "such as --flow curate --own")
    if flow and provider:
        raise UsageError("--flow adds a flow, --ci writes what CI does: one of them")
    repository = look(repo)
    if provider:
        from builder.cli.writing_ci import write_ci

        write_ci(repository, provider, force=force, dry_run=dry_run)
        return
    if flow:
        _add_flow(repository, flow, own=own, dry_run=dry_run)
        return
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


def _add_flow(repository: Repository, name: str, *, own: bool, dry_run: bool) -> None:
    from builder.init import propose
    from builder.init.flow import add_flow, propose_flow

    found = propose_flow(name, propose(repository).training, own=own)
    if dry_run:
        output.result(found.table.rstrip("\n"))
        if found.path:
            output.result(f"\n# {found.path}\n{found.text.rstrip()}")
        return
    for file in add_flow(repository.root, name, found):
        output.result(str(file))
    if not own:
        output.note("read it, and fill in what is commented out")
    output.note(f"next: builder run {name}" if own else f"next: builder run {name} --dry-run")


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
