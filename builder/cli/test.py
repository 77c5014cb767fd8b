"""`builder test`: the team's tests in the image of a commit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli import complete, output

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.model.tree import Commit


@click.command("test", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--commit", "revision", metavar="REV", default="HEAD", help="The commit. Default: HEAD.", shell_complete=complete.revision)
@click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")
@click.argument("words", metavar="[COMMAND]...", nargs=-1)
def command(revision: str, repo: Path | None, words: tuple[str, ...]) -> None:
    """Run your tests in the image of a commit.

    The command of [ci] test, or the one that is given, in a container of the very digest: nothing is mounted, and nothing
    stays. Network, GPUs and variables as [run.docker] says. Needs Docker. Exit code 1 when the command fails.
    """
    from builder.cli.making import making
    from builder.runs.testing import explain, run_command

    with making(repo) as maker:
        commit = maker.git.resolve(revision)
        settings = maker.settings_at(commit)
        image = _image(maker, commit)
        asked = words or settings.ci.test
        output.note(f"{commit.sha[:12]} {commit.subject[:60]}: {' '.join(asked)} in {image}")
        code = run_command(image, asked, settings.run.docker, os.environ, output.raw)
        if code:
            raise explain(asked, code, image)
    output.note(f"{asked[0]} is content; next: builder deploy --commit {commit.sha[:12]}")


def _image(maker: Maker, commit: Commit) -> str:
    """The commit's image, by digest, as Docker's engine has it."""
    from builder.cli.executing import local_name
    from builder.cli.progress import progress
    from builder.errors import UsageError
    from builder.runs.docker import bring_image

    if maker.store.name.startswith("oci:"):
        hint = "with BUILDER_STORE_TO=docker: they are in the engine itself; or name a registry"
        raise UsageError(f"Docker cannot run images of {maker.store.name}", hint)
    image = local_name(maker, maker.make(commit).digest)
    bring_image(image, progress())
    return image
