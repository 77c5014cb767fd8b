"""`builder slim-repo`: a big repository made small, once. A thin shell over the library `repo_slim`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli import output, slim_check, slim_modes, slim_move, slim_places
from builder.cli.sections import Sectioned
from builder.cli.slim_errors import going_on
from builder.errors import UsageError
from builder.model.path_names import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from repo_slim.slim import Asked


@click.command("slim-repo", cls=Sectioned, sections=slim_modes.SECTIONS)
@click.argument("source", metavar="[SOURCE]", default="")
@click.option("--drop-over", metavar="SIZE", help="Take out files larger than this: 500kB, 1MB. Default: 1MB, where no --drop is given.")
@click.option("--drop", metavar="GLOB", multiple=True, help="Take out what matches, of any size: '*.ckpt', 'data/**'. May be repeated.")
@click.option("--keep", metavar="GLOB", multiple=True, help="Keep what matches, whatever else is said; for --check, too. May be repeated.")
@click.option("--lfs", type=click.Choice(["keep-pointers", "drop"]), help="Pointers to LFS objects. Default: keep-pointers.")
@click.option(
    "--replace", type=click.Choice(["delete", "placeholder"]), help="What stands where a file was. Default: delete, that is nothing."
)
@click.option("--archive", metavar="DIR|s3://...", default="", help="Where all that goes is kept. Default: [data] root.")
@click.option(
    "--work", metavar="DIR", type=click.Path(path_type=Path), help="Where it works. Default: NAME.slim beside SOURCE, or here for a URL."
)
@click.option("--restart", is_flag=True, help="Forget what was made in --work, and begin anew. Archives and bundles stay.")
@click.option("--approve", metavar="HASH", default="", help="Archive, rewrite and verify: the plan that has this hash.")
@click.option("--publish-to", metavar="URL", default="", help="Then push the new history to this new, empty remote, and clone it back.")
@click.option("--status", "only_status", is_flag=True, help="Say where it stands, and change nothing.")
@slim_check.options
@slim_move.options
@output.format_option("table", "json")
def command(
    source: str,
    work: Path | None,
    drop_over: str | None,
    drop: tuple[str, ...],
    keep: tuple[str, ...],
    lfs: str | None,
    replace: str | None,
    archive: str,
    approve: str,
    publish_to: str,
    only_status: bool,
    restart: bool,
    check: bool,
    max_size: str,
    move_clone: str | None,
    to: str,
    taken_out: str,
    yes: bool,
    form: str,
) -> None:
    """Make a big repository small, losing nothing: every old commit has a new one, and what was taken out is in an archive.

    SOURCE, a path or a URL, is never written to. The first run writes plan.toml and report.html, and stops: read both, change the plan, and
    approve it by its hash. Killed anywhere and run again it goes on. With --check, SOURCE is a revision or BASE..REV.

    Exit code 1: it failed, and nothing is lost; or --check found something, or --move-clone left something where it is. 2: the hash is not
    that of this plan and source, or what is asked for cannot be.
    """
    mode = slim_modes.chosen(click.get_current_context())
    if mode is slim_modes.CHECK:
        slim_check.check(source, max_size, keep, form)
        return
    if mode is slim_modes.MOVE:
        slim_move.move(slim_move.Wanted(move_clone or ".", to, taken_out, yes), form)
        return
    if not source:
        raise UsageError("SOURCE is missing", "name the repository: a path or a URL")
    with going_on():
        asked = _asked(source, work, archive, approve, publish_to, _rules(drop_over, drop, keep, lfs, replace), restart)
        before = _published_to(asked)
        told = _told(asked, only_status)
    done = mode is slim_modes.APPROVE and before and before == (told["published"] or {"url": before})["url"]
    told["next"] = "" if done else _next(told, asked)
    if form == "json":
        output.document(told)
    elif done:
        _show_again(told, before)
    else:
        _show(told)


def _told(asked: Asked, only_status: bool) -> dict[str, Any]:
    from builder.cli.progress import progress
    from repo_slim import slim

    return slim.status(asked.work) if only_status else slim.run(asked, progress())


def _published_to(asked: Asked) -> str:
    """Where an earlier run published what this plan made; empty when none did."""
    from repo_slim.state import State

    published = State(asked.work).last("published") if asked.approve else None
    return published["url"] if published else ""


def _asked(source: str, work: Path | None, archive: str, approve: str, publish_to: str, rules: dict[str, Any], restart: bool) -> Asked:
    from builder.cli.wiring import load_settings
    from repo_slim.slim import Asked

    settings = load_settings()
    directory = (work or slim_places.work_for(source)).expanduser().absolute()
    default = slim_places.archive_for(source, directory, settings)
    return Asked(source, directory, archive, settings.data.endpoint, rules, approve, publish_to, default, restart)


def _rules(drop_over: str | None, drop: tuple[str, ...], keep: tuple[str, ...], lfs: str | None, replace: str | None) -> dict[str, Any]:
    from repo_slim.errors import SlimError
    from repo_slim.rules import parse_size

    try:
        size = parse_size(drop_over) if drop_over else None
    except SlimError as error:
        raise UsageError(f"--drop-over: {error.message}", error.hint) from error
    return {"drop_over": size, "drop": drop or None, "keep": keep or None, "lfs": lfs, "replace": replace}


def _next(told: Mapping[str, Any], asked: Asked) -> str:
    """The command that goes on from here; empty when there is no more to do, or nothing to gain."""
    words = _typed(told["archive"], asked)
    if told["stage"] == "planned" and _takes_nothing(told):
        return ""
    if told["stage"] == "new":
        return _line(words)
    if told["stage"] in ("verified", "bundled", "recorded"):
        return _line([*words, "--approve", told["approve"], "--publish-to", "URL"])
    return "" if told["stage"] == "published" else _line([*words, "--approve", told["approve"]])


def _takes_nothing(told: Mapping[str, Any]) -> bool:
    return "removed" in told and told["removed"]["file_versions"] == 0


def _typed(archive: str, asked: Asked) -> list[str]:
    """What was typed, without what only this run was about; and the archive, when it is not the one that everybody would take."""
    context = click.get_current_context()
    words = ["builder", "slim-repo", context.params["source"]]
    if context.params["work"]:
        words += ["--work", str(context.params["work"])]
    named = asked.archive or (archive if archive != asked.default_archive else "")
    return [*words, "--archive", named] if named else words


def _line(words: list[str]) -> str:
    return " ".join(word if word == "URL" else shlex.quote(word) for word in words)


def _show(told: Mapping[str, Any]) -> None:
    if "commits" not in told:
        _show_status(told)
    elif told["stage"] == "planned":
        _show_plan(told)
    else:
        _show_end(told)
    if told["next"]:
        output.result(f"next         {told['next']}")


def _show_status(told: Mapping[str, Any]) -> None:
    output.result(f"work         {told['work']}")
    output.result(f"done         {', '.join(told['done']) or 'nothing yet'}")
    if told["archive"]:
        output.result(f"archive      {told['archive']}")
    if told["approve"]:
        output.result(f"plan's hash  {told['approve']}")


def _show_plan(told: Mapping[str, Any]) -> None:
    clone, removed, lfs, size = told["clone"], told["removed"], told["lfs"], output.size
    output.result(f"no rewrite   git clone --filter=blob:limit=1m gives about {size(clone['filter_blob_limit_1m'])} as it is now")
    output.result(
        f"a clone      {size(clone['before'])} in {output.plural(told['commits'], 'commit')}; about {size(clone['after'])} afterwards"
    )
    output.result(
        f"goes         {output.plural(removed['file_versions'], 'file version')}, {size(removed['size'])}, into {told['archive']}"
    )
    if _takes_nothing(told):
        output.note("this plan takes nothing out: a rewrite would change names alone. A lower --drop-over takes more out")
    if removed["spared_by_tips"]["file_versions"]:
        spared = removed["spared_by_tips"]
        output.result(
            f"stays        {output.plural(spared['file_versions'], 'file version')}, {size(spared['size'])}: protected tips have them"
        )
        output.result(f"held by      {_holders(told['held_by'])}")
    for idle in told["unmatched"]:
        output.warn(f"{idle['key']} {shown(idle['pattern'])} in the plan matches nothing: is it mistyped?")
    if lfs["objects"]:
        counted, going = f"{output.plural(lfs['objects'], 'object')}, {size(lfs['size'])}", lfs["archived"]["objects"]
        output.result(f"LFS          {counted}; {going} of them {'goes' if going == 1 else 'go'} into the archive")
    _warn_of_lfs(told)
    if any(told["dead_code"].values()):
        found = [output.plural(number, what.removesuffix("s")) for what, number in told["dead_code"].items() if number]
        output.result(f"dead code    {' and '.join(found)}, perhaps: the report says which, and why")
    output.result(f"plan         {told['plan']}")
    output.result(f"report       {told['report']}")


def _holders(held: Mapping[str, Any]) -> str:
    """Those that hold most back, with what only they do: that would go without them."""
    named = [_holder(each) for each in held["most"]]
    more = held["refs"] - len(named)
    return ", ".join(named) + (f", and {more} more, which the report lists" if more else "")


def _holder(held: Mapping[str, Any]) -> str:
    alone = f" ({output.size(held['alone'])} alone)" if held["alone"] else ""
    return f"{held['ref'].removeprefix('refs/heads/')} {output.size(held['size'])}{alone}"


def _warn_of_lfs(told: Mapping[str, Any]) -> None:
    """Pointers stay as the plan says; what they point to cannot be kept while nobody has it."""
    if count := len(told["lfs_missing"]):
        lacking = f"{output.plural(count, 'LFS object')} could not be found, so the archive has no copy of {'it' if count == 1 else 'them'}"
        output.warn(f"{lacking}: `git lfs fetch --all` in the source may find more; then run this again, which looks for them")


def _show_end(told: Mapping[str, Any]) -> None:
    checked = told["verified"]
    output.result(f"verified     {output.plural(checked['commits'], 'commit')}, {checked['changed']} of them have new names")
    output.result(f"before       {output.size(told['before'])}")
    output.result(f"after        {output.size(told['after'])}")
    output.result(f"repository   {told['repository']}")
    output.result(f"archive      {told['manifest']}")
    output.result(f"undo         git clone --mirror {shlex.quote(told['bundle']['path'])} DIR")
    for count, thing, what in (
        (len(checked["unsigned"]), "signature", "of commits had to go"),
        (len(told["unsigned_tags"]), "signature", "of tags had to go"),
        (len(checked["left"]), "message", "with names of old commits left"),
    ):
        if count:
            output.warn(f"{output.plural(count, thing)} {what}: -o json lists them")
    _warn_of_lfs(told)
    if told["published"]:
        _show_published(told["published"])


def _show_again(told: Mapping[str, Any], url: str) -> None:
    output.result(f"published    to {url} already{', cloned back and compared again' if told['published'] else ''}; nothing to do")
    output.result(f"archive      {told['manifest']}")
    output.result(f"undo         git clone --mirror {shlex.quote(told['bundle']['path'])} DIR")


def _show_published(told: Mapping[str, Any]) -> None:
    output.result(f"published    {output.plural(told['refs'], 'ref')} to {told['url']}, cloned back and compared")
    if told["skipped"]:
        output.note(f"not pushed, because a server or one clone owns them: {', '.join(told['skipped'])}")
    for text in told["warnings"]:
        output.warn(text)
