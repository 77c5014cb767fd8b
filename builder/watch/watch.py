"""The whole of a look: facts, findings, what is put right, what is new, and one message about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from builder.errors import BuilderError
from builder.notify import Notifier
from builder.runs.sources import Sources
from builder.settings import NotifySettings, Settings
from builder.watch.act import put_right
from builder.watch.facts import World
from builder.watch.findings import Cure, Finding, cures, findings
from builder.watch.journal import Journal, Page
from builder.watch.look import look
from builder.watch.news import News, differs, news
from builder.watch.wording import digest

_TRIES = 5
"""So often somebody else may be quicker with the journal."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a look came to. `text` is the message, empty when there was no news; `busy` that somebody else was just sending one."""

    world: World
    news: News
    cures: tuple[Cure, ...]
    text: str = ""
    busy: bool = False


def watch(sources: Sources, notifier: Callable[[], Notifier], *, dry: bool = False) -> Watched:
    """Looks, puts right what is safe, and tells what is new. A dry run changes and sends nothing, and so does a look while somebody else
    is just sending.

    Raises DataError, AuthError when the data root does not answer, NotifyError when the message did not go out: then it is news still.
    """
    speaker = None if dry else notifier()  # what cannot be told is not put down as told
    journal, limits = Journal(sources.objects), sources.settings.watch
    page = journal.read()
    world = look(sources)
    wanted = cures(world, limits)
    found = [*findings(world, limits), *put_right(sources, wanted, dry=dry or page.busy)]
    if speaker is None or page.busy:
        return _watched(world, page, found, wanted, sources.settings)
    told = _tell(journal, speaker, world, found, wanted, sources.settings)
    journal.looked()
    return told


def _tell(journal: Journal, speaker: Notifier, world: World, found: list[Finding], wanted: tuple[Cure, ...], settings: Settings) -> Watched:
    for _ in range(_TRIES):
        page = journal.read()
        seen = _watched(world, page, found, wanted, settings)
        if page.busy or not differs(page.memory, seen.news.memory):
            return seen
        if number := journal.claim(page, seen.news.memory):
            _send(journal, speaker, page, seen, number)
            return seen
    return replace(seen, busy=True)


def _send(journal: Journal, speaker: Notifier, page: Page, seen: Watched, number: int) -> None:
    """What was put right is found only once, so it is remembered until it is told."""
    try:
        if seen.text:
            speaker.send(seen.text)
    except BuilderError:
        done = {key: replace(was, told=False) for key, was in seen.news.memory.items() if was.kind == "done"}
        journal.confirm(number, {**page.memory, **done})
        raise
    journal.confirm(number, seen.news.memory)


def _untold(page: Page) -> list[Finding]:
    return [
        Finding(key, was.kind, was.subject, was.text, was.sources, was.detail, lasting=was.lasting)
        for key, was in page.memory.items()
        if was.kind == "done" and not was.told
    ]


def _watched(world: World, page: Page, found: list[Finding], wanted: tuple[Cure, ...], settings: Settings) -> Watched:
    each = {finding.key: finding for finding in [*_untold(page), *found]}
    compared = news(page.memory, list(each.values()), world.now, frozenset(world.unseen))
    text = "" if compared.is_empty else digest(compared, _where(settings))
    return Watched(world, compared, wanted, "" if page.busy else text, page.busy)


def _where(settings: Settings) -> str:
    """What people know the team by."""
    return settings.deploy.namespace if settings.schedule or settings.run.on == "argo" else settings.data.root


def notify_settings(settings: Settings) -> NotifySettings:
    """Digests may have a channel of their own."""
    return replace(settings.notify, channel=settings.watch.channel or settings.notify.channel)
