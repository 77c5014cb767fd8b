"""`builder demo`: everything once, on a small repository."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli import output
from builder.cli.following import number
from builder.errors import LaunchError, UsageError

if TYPE_CHECKING:
    from builder.model.tree import Commit


@click.command("demo")
@click.option(
    "--dir", "directory", metavar="DIR", type=click.Path(path_type=Path), help="Keep the repository here. Default: a temporary one."
)
def command(directory: Path | None) -> None:
    """Try it all on a small repository.

    Makes a git repository of a small agent that learns to operate user interfaces, builds the image of each of its
    commits, fine-tunes two of them on this machine, and compares their scores. Needs git; no Docker, no network.
    """
    from builder.demo.history import make_repository

    began = time.monotonic()
    with _place(directory) as name:
        repository = Path(name).absolute()
        make_repository(repository, os.environ.get("PATH", os.defpath))
        commits = _build_images(repository)
        output.note(f"\nfine-tuning two of them on this machine: {_commands(commits[-2:])}")
        _print_scores(commits[-2:], _run_both(repository, commits[-2:]))
    output.note(f"\ndone in {output.duration(time.monotonic() - began)}")
    _say_next(directory, commits)


def _place(directory: Path | None) -> AbstractContextManager[str]:
    if directory is None:
        return tempfile.TemporaryDirectory(prefix="builder-demo-")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"{directory} is there already, and not empty", "name a new directory")
    return nullcontext(str(directory))


def _build_images(repository: Path) -> list[Commit]:
    """The image of every commit, oldest first, into an OCI layout; prints a line for each."""
    from builder.cli.image import show_table
    from builder.cli.making import making

    layout = repository / ".builder/images"
    with making(repository, f"oci:{layout}") as maker:
        images = list(maker.missing("HEAD"))
    output.note(f"an image each, in {layout}")
    show_table(images)
    return [image.commit for image in images]


def _commands(commits: Sequence[Commit]) -> str:
    return " and ".join(f"builder run finetune@{commit.sha[:7]}" for commit in commits)


def _run_both(repository: Path, commits: Sequence[Commit]) -> list[dict[str, Any]]:
    """Both at once, each as a person would type it."""
    from builder import process

    environment = {name: value for name, value in os.environ.items() if not name.startswith("BUILDER_")}
    started = []
    try:
        for commit in commits:
            argv = [sys.executable, "-m", "builder", "run", f"finetune@{commit.sha[:7]}", "-o", "json"]
            started.append(process.start(argv, cwd=repository, env=environment, stdin=subprocess.DEVNULL))
        ended = [child.communicate() for child in started]
    finally:
        for child in started:
            child.terminate()  # which does nothing to one that has ended
            child.wait()
    return [_result(commit, child.returncode, *said) for commit, child, said in zip(commits, started, ended, strict=True)]


def _result(commit: Commit, code: int, stdout: bytes, stderr: bytes) -> dict[str, Any]:
    if code != 0:
        raise LaunchError(f"builder run finetune@{commit.sha[:7]} failed:\n{stderr.decode('utf-8', 'replace').strip()}")
    result: dict[str, Any] = json.loads(stdout)
    return result


def _print_scores(commits: Sequence[Commit], results: Sequence[dict[str, Any]]) -> None:
    headers = ("METRIC", *(f"{commit.sha[:7]} {commit.subject}" for commit in commits))
    actions = sorted({action for result in results for action in result["scores"]})
    rows = [("loss", *(number(result["loss"]) for result in results))]
    rows += [(f"score {action}", *(number(result["scores"].get(action)) for result in results)) for action in actions]
    output.table(headers, rows, right=headers[1:])


def _say_next(directory: Path | None, commits: Sequence[Commit]) -> None:
    if directory is None:
        output.note("the repository was a temporary one, and is removed; `builder demo --dir agent` keeps it")
        output.note("next: builder init   (in your own repository)")
    else:
        output.note(f"next: cd {shlex.quote(str(directory))} && builder run finetune@{commits[-3].sha[:7]} lr=0.1")
