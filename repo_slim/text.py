"""Names and numbers as a person reads them, whatever a repository calls its files and people."""

from __future__ import annotations

from datetime import datetime, timezone

_OF_EVERY_ONE = (
    "Could not read from remote repository.",
    "Please make sure you have the correct access rights",
    "and the repository exists.",
)
_UNITS = ("kB", "MB", "GB", "TB", "PB")


def text_of(name: bytes | str) -> str:
    """The name in characters that can be seen: bytes that are no UTF-8 as `\\xff`, control and direction marks as `\\x1b`, `\\u202e`."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    return text if text.isprintable() else "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # what os.fsdecode makes of a byte that is no UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode("ascii") if not "\ud800" <= char <= "\udfff" else f"\\u{ord(char):04x}"


def last_words(stderr: bytes | str) -> str:
    """Of all that git says of a repository that does not answer, the line that tells why: the last that is not said of every one."""
    text = stderr.decode("utf-8", "replace") if isinstance(stderr, bytes) else stderr
    lines = [line.strip().removeprefix("fatal: ") for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if line not in _OF_EVERY_ONE]
    return (telling or lines or ["git does not say why"])[-1]


def bytes_text(count: int) -> str:
    """`512 B`, `1.2 MB`: powers of 1000, as disks and networks count."""
    value, unit = float(count), "B"
    for larger in _UNITS:
        if abs(value) < 999.95:
            break
        value, unit = value / 1000, larger
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def day(time: int) -> str:
    """The day (UTC) of seconds since 1970; `?` where a commit gives a date that no calendar has."""
    try:
        return datetime.fromtimestamp(time, timezone.utc).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return "?"
