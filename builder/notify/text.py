"""Text as Slack's markup wants it: https://docs.slack.dev/messaging/formatting-message-text/"""

from __future__ import annotations

_BACKTICK = "\N{MODIFIER LETTER GRAVE ACCENT}"  # looks like one, and ends no code
_LONGEST = 3000  # characters of a block of text; Slack cuts a message at 40,000, and nobody reads as many


def escaped(text: str) -> str:
    """Any text, to be shown as it is: it can mention nobody and be no link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def link(name: str, url: str) -> str:
    """A link to a web page; any other place, such as `s3://...`, is only named: Slack cannot open it."""
    return f"<{url.replace('|', '%7C')}|{escaped(name)}>" if url.startswith(("http://", "https://")) else f"{escaped(name)}: {code(url)}"


def code(text: str) -> str:
    return f"`{escaped(text.replace('`', _BACKTICK))}`"


def block(text: str) -> str:
    """Several lines as they are, the end of them when they are many."""
    whole = text if len(text) <= _LONGEST else f"...{text[-_LONGEST:]}"
    return f"```\n{escaped(whole.replace('```', _BACKTICK * 3))}\n```"
