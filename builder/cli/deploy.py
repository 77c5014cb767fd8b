"""`builder deploy`: the flows of a commit as templates and schedules of a cluster, or as manifests in a directory; and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli import complete, output
from builder.cli.errors import UNKNOWN, Flags
from builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from builder.deploy.apply import Applied

CLUSTER = "cluster"
_PLANNED = {"created": "would be created", "changed": "would be changed", "removed": "would be removed", "found": "is there"}
_UNKNOWN = "is not in the settings"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for, word by word. `record` is None where it does not say."""

    flows: tuple[str, ...]
    revision: str
    place: str
    schedule: str
    rollback: bool
    bootstrap: bool
    prune: bool
    record: bool | None
    push: bool
    again: bool
    diff: bool
    dry_run: bool

    @property
    def look(self) -> bool:
        return self.diff or self.dry_run


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, or would be; `sha` and `subject` are the commit's, `recorded` the one in the directory's repository, if any."""

    applied: Sequence[Applied]
    sha: str
    subject: str
    recorded: str = ""


@click.command("deploy")
@click.argument("flows", metavar="[FLOW]...", nargs=-1, shell_complete=complete.flow_name)
@click.option("--commit", "revision", metavar="REV", default="", help="The commit. Default: HEAD.", shell_complete=complete.revision)
@click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")
@click.option(
    "--to", "place", metavar="cluster|DIR|REV", default="", help="The cluster (default), or a directory; with --rollback, the commit."
)
@click.option("--rollback", is_flag=True, help="Point the schedules of FLOW at the last green commit before, or at the one of --to REV.")
@click.option("--schedule", metavar="NAME", default="", help="With --rollback: this one only. Default: all of FLOW.")
@click.option("--diff", is_flag=True, help="Show what would change, field by field. Ends with 0: nothing, 1: something, >1: unknown.")
@click.option("--record/--no-record", default=None, help="Commit what is written. Default: unless DIR is in the very tree deployed.")
@click.option("--push", is_flag=True, help="Push that commit; where others pushed meanwhile, on top of theirs.")
@click.option("--bootstrap", is_flag=True, help="Once, as an administrator: namespace, accounts, roles, and images on nodes beforehand.")
@click.option("--prune", is_flag=True, help="Remove schedules that builder made and the settings no longer name.")
@click.option("--again", is_flag=True, help="Also a commit that a schedule was rolled back from.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; do nothing.")
@output.format_option("table", "json", "name")
@click.pass_context
def command(
    context: click.Context,
    flows: tuple[str, ...],
    revision: str,
    repo: Path | None,
    place: str,
    rollback: bool,
    schedule: str,
    diff: bool,
    record: bool | None,
    push: bool,
    bootstrap: bool,
    prune: bool,
    again: bool,
    dry_run: bool,
    form: str,
) -> int:
    """Deploy the flows of a commit, or take FLOW back to an earlier one.

    Each flow becomes a template that runs the commit's image by digest; a template is made once and never changed. Each
    [schedule.NAME] becomes a CronWorkflow of that name, which is changed in place; one that is paused stays paused. Without
    FLOW: all flows. Run again, it does nothing.

    With --rollback nothing is made: the schedules of FLOW start a template again that is still there.
    """
    asked = Asked(flows, revision, place, schedule, rollback, bootstrap, prune, record, push, again, diff, dry_run)
    flags = context.find_object(Flags)
    if diff and flags is not None:
        flags.failed = UNKNOWN
    _check(asked)
    from builder.cli.making import making

    with making(repo, dry_run=asked.look) as maker:
        if rollback:
            from builder.cli.rolling_back import roll_back

            done = roll_back(maker, asked)
        else:
            from builder.cli.deploying_to import deploy

            done = deploy(maker, asked)
    _show(done, form, asked)
    _hint(done, asked)
    return int(diff and any(_differs(applied) for applied in done.applied))


def _check(asked: Asked) -> None:
    """Raises UsageError on words that do not go together."""
    if asked.rollback:
        _check_rollback(asked)
        return
    if asked.schedule:
        raise UsageError("--schedule goes with --rollback", "without: a deploy points all schedules of its flows at the commit")
    if asked.bootstrap and (asked.flows or asked.prune):
        raise UsageError("--bootstrap makes a namespace ready; it takes no FLOW, and no --prune")
    if asked.place in ("", CLUSTER):
        if asked.push or asked.record:
            raise UsageError(f"{'--push' if asked.push else '--record'} is for a directory in a git repository", "--to DIR")
    elif asked.prune or asked.again:
        word = "--prune" if asked.prune else "--again"
        raise UsageError(f"{word} is for the cluster", "a directory holds what is deployed, and no more")
    if asked.push and asked.record is False:
        raise UsageError("--push pushes the commit that --no-record does not make")


def _check_rollback(asked: Asked) -> None:
    if len(asked.flows) != 1:
        raise UsageError("--rollback takes one FLOW", "such as: builder deploy --rollback finetune")
    others = {"--commit": asked.revision, "--prune": asked.prune, "--again": asked.again, "--bootstrap": asked.bootstrap}
    others |= {"--record": asked.record is not None, "--push": asked.push}
    wrong = next((word for word, given in others.items() if given), "")
    if wrong == "--commit":
        raise UsageError("--rollback is told the commit by --to REV", f"--to {asked.revision}")
    if wrong:
        raise UsageError(f"--rollback takes no {wrong}: it is for the cluster, and makes nothing", "in a directory, `git revert` goes back")


def _differs(applied: Applied) -> bool:
    return applied.done in ("created", "changed", "removed") or bool(applied.differences)


def _show(done: Done, form: str, asked: Asked) -> None:
    applied = done.applied
    if form == "json":
        objects = [{"kind": a.kind, "name": a.name, "done": a.done, "differences": list(a.differences)} for a in applied]
        output.document({"commit": done.sha, "looked": asked.look, "recorded": done.recorded, "objects": objects})
    elif asked.diff:
        _show_differences(applied)
    elif form == "name":
        for each in applied:
            output.result(f"{each.kind}/{each.name}")
    else:
        words = {**(_PLANNED if asked.look else {"found": "is there"}), "unknown": _UNKNOWN}
        output.table(("KIND", "NAME", "DONE"), [(a.kind, a.name, words.get(a.done, a.done)) for a in applied])


def _show_differences(done: Iterable[Applied]) -> None:
    for applied in filter(_differs, done):
        by_hand = ", and somebody changed it: delete it, and deploy again" if applied.done == "found" else ""
        output.result(f"{applied.kind} {applied.name} {_PLANNED[applied.done]}{by_hand}")
        for line in applied.differences:
            output.result(f"  {line}")


def _hint(done: Done, asked: Asked) -> None:
    what = "what a namespace needs" if asked.bootstrap else f"{done.sha[:12]} {done.subject}"
    unknown = [applied.name for applied in done.applied if applied.done == "unknown"]
    if unknown:
        output.note(f"not in the settings any more, and still started: {', '.join(unknown)}; --prune removes such schedules")
    if not any(_differs(applied) for applied in done.applied) and not done.recorded:
        state = "is live already" if asked.rollback else "is there as the settings say"
        output.note(f"{what} {state}; nothing to do")
    elif asked.look:
        from builder.cli.foretelling import foretell

        foretell(done, asked)
    else:
        output.note(_became(what, done, asked))


def _became(what: str, done: Done, asked: Asked) -> str:
    if asked.rollback:
        return f"{what} is live again; next: builder show {asked.flows[0]} --history"
    if asked.place in ("", CLUSTER):
        return f"{what} is deployed"
    recorded = f", and {'pushed' if asked.push else 'committed'} as {done.recorded[:12]}" if done.recorded else ""
    return f"{what} is written to {asked.place}{recorded}"
