"""The digest: what is new, and what is over, in Slack's markup; and the same for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from builder.model.units import age
from builder.notify.text import code, escaped
from builder.watch.findings import KINDS, Finding
from builder.watch.news import News

TITLES = {
    "failed": (":x:", "failed"),
    "missing": (":alarm_clock:", "did not start"),
    "zombie": (":zombie:", "zombies"),
    "gone": (":ghost:", "without their job"),
    "long": (":hourglass:", "take too long"),
    "pending": (":hourglass_flowing_sand:", "wait"),
    "done": (":broom:", "put right"),
    "blind": (":see_no_evil:", "cannot be asked"),
}
_MOST, _LONGEST = 12, 300
"""Lines of a kind, and characters of a line: Slack cuts a message at 40,000."""


def digest(news: News, where: str) -> str:
    """One message. `where` is what was looked at. Whatever people wrote stands in it as text."""
    lines = [f":eyes: *watch* {escaped(where)}: {_counted(news)}"]
    for kind in KINDS:
        lines += _section(kind, [finding for finding in news.fresh if finding.kind == kind])
    if news.over:
        lines += ["*over* :white_check_mark:", *_cut([f"- {code(_line(was.subject))} {escaped(_line(was.text))}" for was in news.over])]
    return "\n".join(lines)


def lines_of(news: News, now: float) -> Iterator[tuple[str, str, str, str]]:
    """A row each: `new`, `known` or `over`, the kind, what it is about, and what is wrong."""
    for finding in news.fresh:
        yield "new", finding.kind, finding.subject, finding.text
    for finding in news.known:
        since = news.memory[finding.key].since
        yield "known", finding.kind, finding.subject, f"{finding.text} (told; seen first {age(now - since)} ago)"
    for was in news.over:
        yield "over", was.kind, was.subject, was.text


def _counted(news: News) -> str:
    said = [f"{len(news.fresh)} new"] if news.fresh else []
    said += [f"{len(news.over)} over"] if news.over else []
    return ", ".join([*said, *([f"{len(news.known)} as told before"] if news.known else [])])


def _section(kind: str, found: Sequence[Finding]) -> list[str]:
    if not found:
        return []
    sign, title = TITLES[kind]
    return [f"*{title}* {sign}", *_cut([f"- {code(_line(finding.subject))} {escaped(_line(finding.text))}" for finding in found])]


def _cut(lines: list[str]) -> list[str]:
    return lines if len(lines) <= _MOST else [*lines[:_MOST], f"- and {len(lines) - _MOST} more: {code('builder run watch --dry-run')}"]


def _line(text: str) -> str:
    whole = " ".join(text.split())
    return whole if len(whole) <= _LONGEST else f"{whole[:_LONGEST]}..."
