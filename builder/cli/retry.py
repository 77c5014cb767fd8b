"""`builder retry RUN [--from STEP]`: goes on with a run that failed, was stopped or is lost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli import complete, output
from builder.cli.executing import execute_here, execute_on_argo
from builder.cli.following import raise_if_bad, show_result
from builder.cli.starting import templates_beside
from builder.errors import RevisionError, UsageError

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.cli.reading import Reader
    from builder.cluster.interface import Cluster
    from builder.model.run import RunResult
    from builder.runs.history import Seen
    from builder.settings import Settings
    from builder.steps.request import Request


@click.command("retry")
@click.argument("run", default="", shell_complete=complete.run)
@click.option("--from", "redo", metavar="STEP", default="", help="Do this step again, and all that needs it.", shell_complete=complete.step)
@click.option("--wait/--detach", default=None, help="Follow the run to its end, or return when it is started. Default: --detach on argo.")
@click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")
@output.format_option("table", "json")
def command(run: str, redo: str, wait: bool | None, repo: Path | None, form: str) -> None:
    """Go on with a run that failed, was stopped or is lost. Default: your last run.

    A new run of the same image, configuration and commands, in the same place. Steps that succeeded are kept, so that after
    a failed evaluation the frozen checkpoint is used again.
    """
    from builder.cli.making import making
    from builder.cli.reading import Reader

    with making(repo) as maker:
        reader = Reader.beside(maker)
        result = _go_on(maker, reader, _held(reader, reader.known_run(run)), redo, wait)
    show_result(result, form)
    raise_if_bad(result)


def _held(reader: Reader, seen: Seen) -> Seen:
    """The run, which nobody clears away from here on. Raises UsageError when somebody just did."""
    from builder.cli.person import who
    from builder.runs.cleared import mark_used

    mark_used(reader.objects, seen.run, who())
    return reader.known_run(seen.run)


def _go_on(maker: Maker, reader: Reader, seen: Seen, redo: str, wait: bool | None) -> RunResult:
    from builder.cli.person import who
    from builder.runs import retry
    from builder.steps.request_file import kept_request

    asked = kept_request(reader.objects, seen.run)
    request = retry.go_on(seen, asked, redo, who())
    if request.settings.file:
        _say_own(request)
    else:
        kept = retry.kept_steps(seen.records, request)
        retry.check_checkpoint(seen.records, kept, reader.objects)
        output.note(f"kept from {seen.run}: {', '.join(kept) or 'nothing'}; to do: {', '.join(retry.steps_to_do(kept, request))}")
    if request.on != "argo":
        return execute_here(maker, _moved(maker, request), wait)
    templates = [_template(maker, reader.cluster, seen, request), *templates_beside(maker, request, _settings(maker, reader, request))]
    return execute_on_argo(maker, reader.cluster, request, templates, wait=bool(wait))


def _settings(maker: Maker, reader: Reader, request: Request) -> Settings:
    """That hold for the commit; those in force where git does not have it: its template may be there all the same."""
    from builder.cli.revisions import find_commit

    try:
        return maker.settings_at(find_commit(reader, request.flow, request.commit))
    except RevisionError:
        return maker.settings


def _say_own(request: Request) -> None:
    if request.on != "argo":
        output.note(f"Metaflow goes on with {request.origin.retried}; what succeeded is kept")
    elif request.origin.redo:
        raise UsageError("--from does not go with a team's own flow on Argo: there it starts from its first step", "leave it out")
    else:
        output.note("a team's own flow starts from its first step on Argo")


def _moved(maker: Maker, request: Request) -> Request:
    from builder.runs import retry
    from builder.runs.interpreter import choose_interpreter
    from builder.runs.places import Directories
    from builder.runs.prepare import data_of

    python = request.place.python
    if request.on == "local" and not retry.still_there(python):
        found = choose_interpreter(request.settings.python, request.flow, maker.settings.root, os.environ)
        output.note(f"{python} is not here; it runs with {found.path} ({found.origin})")
        python = found.path
    return retry.moved(request, Directories.of(maker.settings), data_of(maker.settings), python)


def _template(maker: Maker, cluster: Cluster, seen: Seen, request: Request) -> Mapping[str, Any]:
    """The template of the run itself while it is there, else the same made again."""
    from builder.runs.argo import template_that_ran

    return template_that_ran(cluster, seen) or _made_again(maker, request)


def _made_again(maker: Maker, request: Request) -> dict[str, Any]:
    """From the image that the run had, whatever the commit's name stands for by now."""
    from builder.cli.starting import Asked, Target, handler_of, prepare, template_for
    from builder.image.report import own_manifest
    from builder.runs.prepare import Overrides

    asked = Asked(Target(request.flow, request.commit), Overrides(request.overrides, request.evals), "argo", request.config)
    prepared = prepare(maker, asked)
    stored = maker.store.get_manifest(request.reference.rpartition("@")[2])
    image = own_manifest(stored) if stored else None
    if image is None:
        raise UsageError(f"{request.reference} is not in {maker.store.name} any more", f"builder run {request.flow}@{request.commit[:12]}")
    return template_for(request, prepared, handler_of(maker, image))
