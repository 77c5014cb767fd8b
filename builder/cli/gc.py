"""`builder gc`: deletes what nothing needs any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli import output
from builder.cli.sections import Sectioned
from builder.errors import BuilderError, UnansweredError, UsageError

if TYPE_CHECKING:
    from builder.cli.collecting import Plans
    from builder.cluster.interface import WideCluster
    from builder.collect.scene import Scene
    from builder.settings import Settings
    from builder.stores.interface import Store

KINDS = ("images", "templates", "runs", "logs", "checkouts", "checkpoints")
"""As builder/collect/kinds.py has them: help imports none of that."""
_COUNT = click.IntRange(0)


@click.command(
    "gc",
    cls=Sectioned,
    sections={
        "What is kept": ("keep_days", "keep_last", "unknown"),
        "How": ("dry_run", "yes"),
        "Where": ("to", "repo"),
    },
)
@click.argument("kinds", metavar=f"[{'|'.join(KINDS)}]...", nargs=-1, type=click.Choice(KINDS))
@click.option("--keep-days", metavar="N", type=_COUNT, help="What was made or used in the last N days. Default: [gc] keep_days, 30.")
@click.option("--keep-last", metavar="N", type=_COUNT, help="What the last N green runs of each flow need. Default: [gc] keep_last, 3.")
@click.option("--unknown", is_flag=True, help="Images of commits that this clone does not know go, too: nobody else uses the store.")
@click.option("--dry-run", is_flag=True, help="Say what would go and why; delete nothing.")
@click.option("--yes", is_flag=True, help="Delete without asking. Where nobody can be asked, nothing goes without it.")
@click.option("--to", metavar="STORE", default="", help="The store to clean: registry.host/name or oci:DIR. Default: [store].")
@click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")
@output.format_option("table", "json")
def command(
    kinds: tuple[str, ...],
    keep_days: int | None,
    keep_last: int | None,
    unknown: bool,
    dry_run: bool,
    yes: bool,
    to: str,
    repo: Path | None,
    form: str,
) -> int:
    """Delete what nothing needs any more.

    Everybody is asked what they need: branches and tags of every remote, the cluster, Slurm, the ledger, frozen checkpoints, green
    runs. If one does not answer, nothing is deleted. What is younger than two hours stays, whatever N is.
    """
    from builder.cli.collecting import Plans

    with _scene(repo, to, keep_days, keep_last, kinds or KINDS, dry=dry_run, unknown=unknown) as scene:
        plans = Plans.make(scene, kinds)
        plans.say_asked()
        if form != "json":
            plans.show()
        delete = bool(plans.going) and not dry_run and _may(plans, yes=yes, form=form)
        code = _delete(plans) if delete else 0
        if form == "json":
            output.document(plans.document(delete=delete))
        plans.say_end(delete=delete)
        return code


def _may(plans: Plans, *, yes: bool, form: str) -> bool:
    """Asks a person, where there is one."""
    import sys

    if yes:
        return True
    if form == "json" or not (output.is_terminal(sys.stdin) and output.is_terminal(sys.stderr)):
        return False
    return click.confirm(f"delete {output.plural(len(plans.going), 'thing')}?", default=False, err=True)


def _delete(plans: Plans) -> int:
    """The exit code: not 0 when something could not be deleted. A source that stops answering stops all of it."""
    code = 0
    for kind in plans.collectors:
        error = _deleted(plans, kind)
        code = max(code, error.exit_code if error else 0)
        if isinstance(error, UnansweredError):
            break
    return max(code, int(plans.has_failed))


def _deleted(plans: Plans, kind: str) -> BuilderError | None:
    """Tells an error, and gives it back."""
    try:
        plans.remove(kind)
    except BuilderError as error:
        output.error(error.message, error.hint)
        return error
    return None


@contextmanager
def _scene(
    repo: Path | None, to: str, keep_days: int | None, keep_last: int | None, kinds: Sequence[str], *, dry: bool, unknown: bool
) -> Iterator[Scene]:
    from builder.cli.reading import reading
    from builder.cli.wiring import load_settings, open_store, workshop
    from builder.collect.scene import Scene

    load_settings(repo)  # those of the last commit, with which one may still read, do not say whom to ask
    with reading(repo) as reader:
        limits = reader.settings.gc
        days, last = limits.keep_days if keep_days is None else keep_days, limits.keep_last if keep_last is None else keep_last
        store = open_store(to, reader.settings)
        _check_named(to, store)
        try:
            made = workshop(store, to, reader.settings, lambda _: None)
            ask = _connector(reader.settings)
            lie = (reader.settings, reader.git, store, reader.objects, reader.ledger)
            yield Scene(*lie, ask, days, last, made, dry, output.note, output.warn, kinds, unknown=unknown)
        finally:
            store.close()


def _check_named(to: str, store: Store) -> None:
    """Raises UsageError for a directory that is named and is not there: one written wrong would look like one that is clean."""
    if to.startswith("oci:") and not (directory := Path(store.name.removeprefix("oci:"))).is_dir():
        raise UsageError(f"--to {to}: there is no directory {directory}", "`builder image --to` writes one")


def _connector(settings: Settings) -> Callable[[str, str], WideCluster]:
    def connect(context: str, namespace: str) -> WideCluster:
        from builder.cluster.kubernetes import connect

        return connect(namespace or settings.deploy.namespace, context or settings.deploy.context)

    return connect
