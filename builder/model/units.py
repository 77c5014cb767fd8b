"""Numbers as people read them."""

from __future__ import annotations


def size(count: int) -> str:
    """`512 B`, `1.2 MB`: powers of 1000, as disks and registries are sold."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.95 or unit == "TB":
            break
    return f"{value:.1f} {unit}"


def duration(seconds: float) -> str:
    """`35 ms`, `0.4 s`, `12 s`, `3 min 05 s`, `1 h 40 min`."""
    if seconds < 0.095:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def age(seconds: float) -> str:
    """`12 s`, `3 min`, `5 h`, `2 d`: how long ago something was."""
    for unit, length, most in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 48 * 3600)):
        if seconds < most:
            return f"{int(max(0, seconds) // length)} {unit}"
    return f"{int(seconds // 86400)} d"


def plural(count: int, noun: str) -> str:
    """`1 layer`, `3 layers`."""
    return f"{count} {nouns(count, noun)}"


def nouns(count: int, noun: str) -> str:
    """The word alone: `layer` of one, else `layers`."""
    return noun if count == 1 else f"{noun}s"
