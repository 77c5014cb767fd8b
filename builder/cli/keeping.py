"""`builder run watch` and `builder run housekeep`: what looks after all other runs, once, by hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli import output
from builder.errors import UsageError

if TYPE_CHECKING:
    from builder.cli.reading import Reader
    from builder.housekeep.housekeep import Done, Kept
    from builder.watch.watch import Watched

_NAMES = ("watch", "housekeep")


def keeper_named(target: str, repo: Path | None) -> str:
    """Which of the two is meant; empty when it is another flow."""
    name, at, _ = target.partition("@")
    if name not in _NAMES:
        return ""
    from builder.cli.wiring import load_settings
    from builder.runs.keepers import keeper_of

    kind = keeper_of(name, load_settings(repo))
    if kind and at:
        raise UsageError(f"{name} looks at what there is now, not at a commit", f"builder run {name}")
    return kind


def keep(kind: str, repo: Path | None, on: str, form: str, *, plain: bool, dry_run: bool) -> int:
    """Does it on this machine. `plain`: nothing else was asked for."""
    if not plain:
        raise UsageError(f"{kind} takes --dry-run, --repo and -o, and nothing else", f"[{kind}] in the settings says what it looks for")
    if on not in ("", "local"):
        raise UsageError(f"by hand {kind} runs on this machine", "leave out --on")
    from builder.cli.reading import reading

    with reading(repo) as reader:
        return (_watch if kind == "watch" else _housekeep)(reader, form, dry_run=dry_run)


def _watch(reader: Reader, form: str, *, dry_run: bool) -> int:
    """1 when something could not be asked."""
    from builder.notify import open_notifier
    from builder.runs.sources import Sources
    from builder.watch.watch import notify_settings, watch

    settings = reader.settings
    sources = Sources(settings, reader.objects, reader.ledger, reader.connect, output.warn)
    seen = watch(sources, lambda: open_notifier(notify_settings(settings), os.environ), dry=dry_run)
    _show_watched(seen, form, dry_run=dry_run)
    if form != "json":
        _say_watched(seen, dry_run=dry_run, slack=settings.notify.slack)
    return int(bool(seen.world.unseen))


def _show_watched(seen: Watched, form: str, *, dry_run: bool) -> None:
    from builder.watch.wording import lines_of

    rows = list(lines_of(seen.news, seen.world.now))
    if form == "json":
        findings = [dict(zip(("news", "kind", "subject", "text"), row, strict=True)) for row in rows]
        output.document({"dry_run": dry_run, "findings": findings, "text": seen.text, "unseen": dict(seen.world.unseen)})
    elif rows:
        output.table(("NEWS", "KIND", "WHAT", "HOW"), rows)


def _say_watched(seen: Watched, *, dry_run: bool, slack: bool) -> None:
    world = seen.world
    jobs = sum(map(len, world.jobs.values()))
    output.note(f"looked at {jobs} jobs, {len(world.workflows)} workflows, {len(world.schedules)} schedules, {len(world.runs)} open runs")
    if seen.busy:
        output.note("somebody else is just telling what is new: nothing was changed or sent")
    elif not seen.text:
        output.note("no news")
    elif dry_run:
        output.note("nothing was changed or sent (--dry-run)")
    else:
        output.note("told" if slack else "nobody was told but you: [notify] slack is off")


def _housekeep(reader: Reader, form: str, *, dry_run: bool) -> int:
    """1 when something could not be asked or removed."""
    from builder.housekeep.housekeep import housekeep
    from builder.runs.sources import Sources

    sources = Sources(reader.settings, reader.objects, reader.ledger, reader.connect, output.warn)
    kept = housekeep(sources, dry=dry_run)
    if form == "json":
        output.document({"dry_run": dry_run, "things": [_as_json(one) for one in kept.done], "unseen": kept.unseen})
    else:
        _show_kept(kept)
    if reader.settings.housekeep.page and not dry_run:
        from builder.cli.page import write_to_root

        write_to_root(reader)
    return int(kept.failed)


def _as_json(one: Done) -> dict[str, str]:
    thing, verdict = one.verdict.thing, one.verdict
    return {"kind": thing.kind.name, "place": thing.place, "name": thing.name, "became": one.became, "why": one.error or verdict.why}


def _show_kept(kept: Kept) -> None:
    """What was only kept because it is young is counted."""
    told = [one for one in kept.done if not one.verdict.young]
    if told:
        rows = [tuple(_as_json(one)[name] for name in ("kind", "name", "became", "why", "place")) for one in told]
        output.table(("KIND", "NAME", "BECAME", "WHY", "WHERE"), rows)
    output.note(f"{len(kept.done) - len(told)} more were used lately; {counted(kept)}")
    for place, why in kept.unseen.items():
        output.warn(f"{place} could not be asked, so nothing there was touched: {why}")


def counted(kept: Kept) -> str:
    """`3 removed, 1 failed`."""
    found = [one.became for one in kept.done if one.became != "kept"]
    return ", ".join(f"{found.count(word)} {word}" for word in sorted(set(found))) or "nothing to remove"
